package replay

import (
	"cmp"
	"slices"
)

// ranges is a set of bytes: stretches in order that do not touch.
type ranges []struct{ from, to int64 }

// add puts a stretch into the set.
func (r *ranges) add(from, length int64) {
	if length == 0 {
		return
	}
	to := from + length
	i, _ := slices.BinarySearchFunc(*r, from, func(s struct{ from, to int64 }, at int64) int { return cmp.Compare(s.to, at) })
	end := i
	for end < len(*r) && (*r)[end].from <= to {
		from = min(from, (*r)[end].from)
		to = max(to, (*r)[end].to)
		end++
	}
	*r = slices.Replace(*r, i, end, struct{ from, to int64 }{from, to})
}

// remove takes a stretch out of the set, and returns what of it was there.
func (r *ranges) remove(from, length int64) ranges {
	if length == 0 {
		return nil
	}
	to := from + length
	i, _ := slices.BinarySearchFunc(*r, from, func(s struct{ from, to int64 }, at int64) int { return cmp.Compare(s.to, at+1) })
	end := i
	var gone, rest ranges
	for end < len(*r) && (*r)[end].from < to {
		s := (*r)[end]
		if s.from < from {
			rest = append(rest, struct{ from, to int64 }{s.from, from})
		}
		gone = append(gone, struct{ from, to int64 }{max(s.from, from), min(s.to, to)})
		if s.to > to {
			rest = append(rest, struct{ from, to int64 }{to, s.to})
		}
		end++
	}
	*r = slices.Replace(*r, i, end, rest...)
	return gone
}

func (r ranges) bytes() int64 {
	var n int64
	for _, s := range r {
		n += s.to - s.from
	}
	return n
}
