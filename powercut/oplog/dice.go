package oplog

// Dice is the one rule by which a simulated crash with a seed other than 0 lets a sector of 512 bytes survive that may be lost:
// the disk and the replay of its log throw the same. With bit 0 the sector survives as it was written last; bit 1 is for
// writes in flight.
func Dice(seed uint64, image uint8, sector int64) uint64 {
	return Mix(Mix(seed^uint64(image)<<56) ^ uint64(sector))
}

// Mix makes a step of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
