package pulse_test

import (
	"slices"
	"testing"
)

// vectorComponent has the settings of a component of Vector that the recipe uses.
type vectorComponent struct {
	Type   string
	Inputs []string
	Source string
	Buffer *struct {
		Type     string
		MaxSize  int    `yaml:"max_size"`
		WhenFull string `yaml:"when_full"`
	}
	Encoding *struct{ Codec string }
	Index    string

	Endpoints []string
	Mode      string
	Bulk      *struct{ Action, Index string }
	IDKey     string `yaml:"id_key"`
	Retry     bool   `yaml:"request_retry_partial"`
	Auth      map[string]any

	Endpoint      string
	Token         string `yaml:"default_token"`
	Sourcetype    string
	IndexedFields []string `yaml:"indexed_fields"`

	Servers    string `yaml:"bootstrap_servers"`
	Topic      string
	KeyField   string            `yaml:"key_field"`
	Librdkafka map[string]string `yaml:"librdkafka_options"`
}

// Vector itself is not to be had where this is tested: what is tested is the shape alone.
func TestTheRecipeForVectorReadsTheProvisionedConsumer(t *testing.T) {
	var file struct {
		DataDir string `yaml:"data_dir"`
		Sources map[string]struct {
			Type, URL, Subject string
			Name               string `yaml:"connection_name"`
			TLS                struct {
				Enabled bool
				CAFile  string `yaml:"ca_file"`
			}
			Auth struct {
				Strategy        string
				CredentialsFile struct{ Path string } `yaml:"credentials_file"`
			}
			JetStream struct{ Stream, Consumer string } `yaml:"jetstream"`
			Decoding  struct{ Codec string }
		}
		Transforms, Sinks map[string]vectorComponent
	}
	parseYAML(t, "docs/bridges/vector/vector.yaml", &file)
	source := file.Sources["pulse"]
	if source.Type != "nats" || source.JetStream.Stream != "STATUS" || source.JetStream.Consumer != "xdr" || source.Decoding.Codec != "bytes" || !source.TLS.Enabled ||
		source.Auth.CredentialsFile.Path == "" {
		t.Errorf("%+v", source)
	}
	if !slices.Equal(file.Transforms["status"].Inputs, []string{"pulse"}) || len(file.Sinks) != 3 {
		t.Errorf("%+v", file)
	}
	for name, sink := range file.Sinks {
		if !slices.Equal(sink.Inputs, []string{"status"}) || sink.Buffer == nil || sink.Buffer.Type != "disk" || sink.Buffer.WhenFull != "block" {
			t.Errorf("%s: %+v: what was acknowledged is in memory alone", name, sink)
		}
	}
}
