package text

import (
	"fmt"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
)

// Column is a column of a table.
type Column struct {
	Name  string // its header; "\n" begins another line of it
	Right bool   // its texts stand right, as numbers do
	Width int    // in characters, at least; 0 is as wide as its texts
}

// Table returns a table for a terminal, without rules and with two spaces between its columns: the lines of the header, then a line a
// row. Texts are made visible, those of rows on one line. Where no column has a name there is no header.
func Table(columns []Column, rows [][]string) ([]string, error) {
	align := make([]tw.Align, len(columns))
	padding := make([]tw.Padding, len(columns))
	header := make([]string, len(columns))
	headerLines := 0
	for i, c := range columns {
		align[i] = tw.AlignLeft
		if c.Right {
			align[i] = tw.AlignRight
		}
		padding[i] = tw.Padding{Right: "  ", Overwrite: true}
		header[i] = Visible(c.Name)
		if c.Name != "" {
			headerLines = max(headerLines, 1+strings.Count(c.Name, "\n"))
		}
		last := strings.LastIndexByte(header[i], '\n') + 1
		if fill := strings.Repeat(" ", max(0, c.Width-Width(header[i][last:]))); c.Right {
			header[i] = header[i][:last] + fill + header[i][last:]
		} else {
			header[i] += fill
		}
	}
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithHeaderPaddingPerColumn(padding), tablewriter.WithRowPaddingPerColumn(padding),
		tablewriter.WithRowAutoWrap(tw.WrapNone), tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRendition(tw.Rendition{Borders: tw.BorderNone, Settings: tw.Settings{
			Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off}, Lines: tw.Lines{ShowHeaderLine: tw.Off}}}))
	t.Header(header)
	for _, row := range rows {
		shown := make([]string, len(row))
		for i, s := range row {
			shown[i] = Line(s)
		}
		if err := t.Append(shown); err != nil {
			return nil, fmt.Errorf("draw table: %w", err)
		}
	}
	if err := t.Render(); err != nil {
		return nil, fmt.Errorf("draw table: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	if headerLines == 0 && len(lines) == 1+len(rows) {
		lines = lines[1:]
	}
	if len(lines) != headerLines+len(rows) {
		return nil, fmt.Errorf("draw table: %d lines for %d rows", len(lines), len(rows))
	}
	return lines, nil
}
