package files

import "time"

// SetPatience says how long a sender may take who sends nothing.
func (d *Door) SetPatience(p time.Duration) { d.patience = p }
