package matrices

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// String is the value as it is written in a matrix, a job file or an XML attribute: text as it is, numbers in plain
// decimal notation, true and false.
func (v Value) String() string {
	switch x := v.V.(type) {
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case uint64:
		return strconv.FormatUint(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return fmt.Sprint(v.V)
}

// MarshalJSON keeps the YAML type: text is a JSON string, numbers and booleans are themselves.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.V) }

// Equal says whether two values are written alike: 1 and "1" are one value.
func (v Value) Equal(w Value) bool { return v.String() == w.String() }
