package disk

// SetRoom makes a store believe that its disk has so many bytes, free and in all.
func SetRoom(s *Store, free func() uint64, total uint64) {
	s.room = func(string) (uint64, uint64, error) { return free(), total, nil }
}
