package cell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Value is one value of an axis or option. It keeps its YAML type: string, bool, int64, uint64 or float64.
type Value struct{ V any }

// String returns the value as it is written in a matrix, a job file or an XML attribute: text as it is, numbers in plain
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

// Equal reports whether two values are written alike: 1 and "1" are one value.
func (v Value) Equal(w Value) bool { return v.String() == w.String() }

// MarshalJSON keeps the YAML type: text is a JSON string, numbers and booleans are themselves.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.V) }

// UnmarshalJSON reads what MarshalJSON wrote. Only single values are values: null, lists and objects are errors.
func (v *Value) UnmarshalJSON(text []byte) error {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	token, err := in.Token()
	if err != nil {
		return err
	}
	*v, err = valueOf(token)
	return err
}

// valueOf turns a token of a decoder that uses json.Number into a value.
func valueOf(token json.Token) (Value, error) {
	switch x := token.(type) {
	case string, bool:
		return Value{x}, nil
	case json.Number:
		if i, err := strconv.ParseInt(x.String(), 10, 64); err == nil {
			return Value{i}, nil
		}
		if u, err := strconv.ParseUint(x.String(), 10, 64); err == nil {
			return Value{u}, nil
		}
		f, err := x.Float64()
		return Value{f}, err
	}
	return Value{}, fmt.Errorf("%v is not a single value", token)
}

// Setting is a name with its value, for example disk.cache=none or bs=4k.
type Setting struct {
	Name  string
	Value Value
}

// Settings are settings in an order that matters to what is written from them; no name stands twice. In JSON they are an object.
type Settings []Setting

// Get returns the value of a setting; false means that nothing sets it: libvirt, fio, qemu-img or the simulated disk chooses.
func (s Settings) Get(name string) (Value, bool) {
	i := slices.IndexFunc(s, func(t Setting) bool { return t.Name == name })
	if i < 0 {
		return Value{}, false
	}
	return s[i].Value, true
}

// Text returns the value of a setting as text; empty when nothing sets it.
func (s Settings) Text(name string) string {
	v, ok := s.Get(name)
	if !ok {
		return ""
	}
	return v.String()
}

// With returns the settings with one laid over them: in the place of the one of its name, or at the end. It leaves s alone.
func (s Settings) With(name string, v Value) Settings {
	s = slices.Clone(s)
	s.Set(name, v)
	return s
}

// Set is With in place.
func (s *Settings) Set(name string, v Value) {
	if i := slices.IndexFunc(*s, func(t Setting) bool { return t.Name == name }); i >= 0 {
		(*s)[i].Value = v
		return
	}
	*s = append(*s, Setting{name, v})
}

// Without returns the settings but for those of some names. It leaves s alone.
func (s Settings) Without(names ...string) Settings {
	return slices.DeleteFunc(slices.Clone(s), func(t Setting) bool { return slices.Contains(names, t.Name) })
}

// Of returns the settings of a namespace, without its name before them: Of("fio") has "bs" for "fio.bs".
func (s Settings) Of(namespace string) Settings {
	var some Settings
	for _, t := range s {
		if name, of := strings.CutPrefix(t.Name, namespace+"."); of {
			some = append(some, Setting{name, t.Value})
		}
	}
	return some
}

// String returns the settings as "name=value" with blanks between.
func (s Settings) String() string {
	words := make([]string, len(s))
	for i, t := range s {
		words[i] = t.Name + "=" + t.Value.String()
	}
	return strings.Join(words, " ")
}

// MarshalJSON writes an object whose keys stand in the order of the settings.
func (s Settings) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, t := range s {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, err
		}
		value, err := t.Value.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("setting %s: %w", t.Name, err)
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads an object in the order of its keys; null is no settings.
func (s *Settings) UnmarshalJSON(text []byte) error {
	*s = nil
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	token, err := in.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('{') {
		return errors.New("settings are a JSON object")
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return err
		}
		full, _ := name.(string) // a key is a string, or the decoder has failed
		if _, twice := s.Get(full); twice {
			return fmt.Errorf("setting %q stands twice", full)
		}
		token, err := in.Token()
		if err != nil {
			return err
		}
		value, err := valueOf(token)
		if err != nil {
			return fmt.Errorf("setting %q: %w", full, err)
		}
		*s = append(*s, Setting{full, value})
	}
	if _, err := in.Token(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
