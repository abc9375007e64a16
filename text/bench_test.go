package text

import (
	"fmt"
	"testing"
)

func BenchmarkTable(b *testing.B) {
	columns := []Column{{Name: "cell"}, {Name: "A", Right: true}, {Name: "B", Right: true}, {Name: "B/A"}, {Name: "p", Right: true}}
	var rows [][]string
	for i := range 5000 {
		rows = append(rows, []string{fmt.Sprintf("  metric %d", i), Count(i * 1000), Count(i), "1.000 [0.990 – 1.010]", "0.01 *"})
	}
	for b.Loop() {
		if _, err := Table(columns, rows); err != nil {
			b.Fatal(err)
		}
	}
}
