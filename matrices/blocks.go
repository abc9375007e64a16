package matrices

import (
	"math/rand/v2"

	"platter/cell"
)

// Blocks gives the order in which cells are measured: one list for each of trials blocks, and in each every measured
// cell once, as an index into cells, in random order (a randomised complete block design). The same cells and seed give
// the same order, and more trials only add blocks at the end.
func Blocks(cells []cell.Cell, trials int, seed uint64) [][]int {
	random := rand.New(rand.NewPCG(seed, 0))
	blocks := make([][]int, max(0, trials))
	for i := range blocks {
		blocks[i] = measured(cells)
		random.Shuffle(len(blocks[i]), func(a, b int) {
			blocks[i][a], blocks[i][b] = blocks[i][b], blocks[i][a]
		})
	}
	return blocks
}

func measured(cells []cell.Cell) []int {
	indexes := make([]int, 0, len(cells))
	for i, c := range cells {
		if c.Excluded == "" {
			indexes = append(indexes, i)
		}
	}
	return indexes
}
