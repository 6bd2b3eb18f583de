package wazuhevent

import (
	"reflect"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

const (
	maxText = 128 // characters of a text
	maxList = 16  // elements of a list, all that an outage's networks can be
	maxItem = 64  // characters of an element
)

// limitTexts makes all texts in a struct printable and limits their length, and that of
// lists. It replaces lists and does not write into them: others may have them too.
func limitTexts(body any) { limitStruct(reflect.ValueOf(body).Elem(), maxText) }

func limitStruct(v reflect.Value, most int) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(printable.Brief(f.String(), most))
		case reflect.Struct:
			limitStruct(f, most)
		case reflect.Slice:
			f.Set(limitList(f))
		}
	}
}

// limitList returns a copy of a list of texts or structs, limited.
func limitList(list reflect.Value) reflect.Value {
	if list.IsNil() {
		return list
	}
	n := min(list.Len(), maxList)
	limited := reflect.MakeSlice(list.Type(), n, n)
	reflect.Copy(limited, list)
	for i := range n {
		switch item := limited.Index(i); item.Kind() {
		case reflect.String:
			item.SetString(printable.Brief(item.String(), maxItem))
		case reflect.Struct:
			limitStruct(item, maxItem)
		}
	}
	return limited
}
