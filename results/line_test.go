package results

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"platter/fiojob"
)

// fill gives every field of a value, and of those below it, something that is not its zero value.
func fill(v reflect.Value, n *int64) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Date(2026, 1, 2, 3, 4, 5, int(*n), time.UTC)
		return
	case *fiojob.Histogram:
		*x = fiojob.NewHistogram(fiojob.Bucket{NS: *n, Count: 1}, fiojob.Bucket{NS: 1000 * *n, Count: *n})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"queue/write_cache": "write back", "size": "7"}))
	case reflect.String:
		v.SetString(strings.Repeat("text ", int(*n)))
	case reflect.Int, reflect.Int64:
		v.SetInt(*n * 1_000_000_007)
	case reflect.Float64:
		v.SetFloat(float64(*n) * 1234.5678901234567e-7)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("a trial has a " + v.Type().String() + ": fill it")
	}
}

// Whoever adds a field to a trial adds it to readTrial, where it stands in the type: else every line is read slowly.
func TestEveryFieldOfATrialIsReadFast(t *testing.T) {
	var full Trial
	fill(reflect.ValueOf(&full).Elem(), new(int64))
	full.Failure = nil // few trials fail
	bare := Trial{Metrics: &fiojob.Metrics{}, IOPSLog: &IOPSLog{}}
	bare.IOPSLog.IOPS = []float64{}
	for _, want := range []Trial{full, trial("a", 0), bare} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := readTrial(text, newKnown())
		if !ok {
			t.Errorf("not read fast: %s", text)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestTextsOfManyLinesAreKeptOnce(t *testing.T) {
	line := []byte(`{"cell":"a","block":0,"order":0,"status":"ok","started":"2026-01-02T03:04:05Z","phases":{},` +
		`"evidence":{"flush_path":{},"guest":{"size":"7","x":"}"}},"missing":["a.b"]}`)
	k := newKnown()
	for _, text := range [][]byte{line, line, bytes.Replace(line, []byte(`"7","x":"}"`), []byte(`"7"`), 1)} {
		var want Trial
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if got, ok := readTrial(text, k); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %+v, want %+v", ok, got, want)
		}
	}
	if len(k.guest) != 2 {
		t.Errorf("%d maps are kept: %v", len(k.guest), k.guest)
	}
	for i := range 3 * maxKnown {
		k.text([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	if len(k.texts) > maxKnown {
		t.Errorf("%d texts are kept", len(k.texts))
	}
}

// agrees reads a line fast and with encoding/json.
func agrees(t *testing.T, text []byte) (fast bool) {
	t.Helper()
	k := newKnown()
	for range 2 { // the second time with what the first one knows
		got, ok := readTrial(text, k)
		if !ok {
			return false
		}
		var want Trial
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s was read, and encoding/json says %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nis read as %+v\nand by encoding/json as %+v", text, got, want)
		}
	}
	return true
}

func TestALineOfAnotherFormIsLeftToTheCarefulReader(t *testing.T) {
	const line = `{"cell":"a","block":0,"order":-1,"status":"ok","started":"2026-01-02T03:04:05Z","phases":{"attach_s":0.5},` +
		`"metrics":{"sync":{"ios":3}},"iops_log":{"interval_s":1,"iops":[1,2.5e3]},"evidence":{"expected":{"writeback":true,"direct":false,` +
		`"no_flush":false},"flush_path":{"fio":3},"guest":{"size":"7"}},"guards":[{"guard":"g","message":"a \u003e \"b\" ü"}]}`
	if !agrees(t, []byte(line)) {
		t.Fatal("not read fast")
	}
	for _, change := range [][2]string{
		{`{"cell"`, `{ "cell"`}, {`{"cell"`, ` {"cell"`}, {`]}`, `]} `}, {`]}`, `]`}, {`]}`, `],}`}, {`]}`, `]}}`}, {`"cell":"a"`, `"Cell":"a"`},
		{`"cell":"a"`, `"cell":"a","cell":"b"`}, {`"cell":"a"`, `"cell":7`}, {`"cell":"a"`, `"cell":null`},
		{`"cell":"a"`, `"cell":"` + "\x01" + `"`},
		{`"cell":"a","block":0`, `"block":0,"cell":"a"`}, {`"cell":"a"`, `"cell":"\x"`}, {`"cell":"a"`, `"cell":"\"`},
		{`"block":0`, `"block":00`},
		{`"block":0`, `"block":0.0`}, {`"block":0`, `"block":1e3`}, {`"block":0`, `"block":-`}, {`"block":0`, `"block":99999999999999999999`},
		{`"ok"`, `"ok","new":1`}, {`"status":"ok"`, `"status":"failed","failure":{"fault":"rig","message":"m"}`}, {`05Z`, `65Z`},
		{`"2026`, `2026`},
		{`0.5`, `00.5`}, {`0.5`, `.5`}, {`0.5`, `0.`}, {`0.5`, `1e`}, {`0.5`, `1e999`}, {`0.5`, `"0.5"`}, {`0.5`, `+1`}, {`0.5`, `null`},
		{`0.5`, ``},
		{`{"ios":3}`, `null`}, {`"ios":3`, `"ios":3,"latency":[[2,1],[1,1]]`}, {`"ios":3`, `"ios":3,"latency":[[1]]`},
		{`"ios":3`, `"ios":3,"latency":null`},
		{`[1,2.5e3]`, `[1,2.5e3,]`}, {`[1,2.5e3]`, `[,1]`}, {`[1,2.5e3]`, `[1 2]`}, {`[1,2.5e3]`, `[1,2`}, {`[1,2.5e3]`, `null`},
		{`true`, `True`},
		{`{"size":"7"}`, `{"size":"7","size":"8"}`}, {`{"size":"7"}`, `{"size":7}`}, {`{"size":"7"}`, `{,"size":"7"}`},
		{`{"size":"7"}`, `{"size" "7"}`},
		{`{"guard":"g",`, `{"message":"m",`}, {`[{"guard"`, `[7,{"guard"`},
	} {
		text := strings.Replace(line, change[0], change[1], 1)
		if text == line {
			t.Fatalf("%q is not there", change[0])
		}
		if agrees(t, []byte(text)) {
			t.Errorf("read fast: %s", text)
		}
	}
}

// Short numbers are not read by strconv, and are the same to the last bit.
func TestANumberIsTheNearestFloat(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		text := strconv.FormatInt(random.Int64N(1<<(1+random.IntN(62))), 10)
		if n := 1 + random.IntN(20); random.IntN(4) > 0 {
			text += "." + strings.Repeat("0", random.IntN(5)) + strconv.FormatUint(random.Uint64(), 10)[:min(n, 15)]
		}
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		l := line{rest: []byte(text), known: newKnown()}
		if got := l.float(); l.wrong || len(l.rest) > 0 || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s is read as %v, and strconv says %v", text, got, want)
		}
	}
}

func FuzzALineIsReadAsByEncodingJSON(f *testing.F) {
	recorded, err := os.ReadFile("../cmd/platter/testdata/schema1/run/trials.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for text := range bytes.Lines(recorded) {
		text = bytes.TrimSuffix(text, []byte("\n"))
		if _, ok := readTrial(text, newKnown()); !ok {
			f.Errorf("what an older version wrote is not read fast: %s", text)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"cell":"a","block":-0,"phases":{"attach_s":-0,"prepare_s":1E+2},"iops_log":{"iops":[-0,-0.0,123456789012345678]},"evidence":{"guest":{}}}`))
	f.Add([]byte(`{"cell":"\ud800","guards":[{}],"missing":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) { agrees(t, text) })
}
