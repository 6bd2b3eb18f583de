package config

// Override is a setting that does not come from a file, but from the command line.
type Override struct {
	Path   string // below <ossec_config>: "nats/server_url"
	Value  string // as it would be written in a file
	Source string // "--server"
}

// LoadWith is [Load], with overrides that count more than all files.
func LoadWith(overrides []Override, paths ...string) (*Loaded, error) {
	return load(DefaultPath, paths, overrides...)
}

func (ld *loader) override(o Override) {
	s := lookup(o.Path)
	f := s.field(&ld.loaded.Config)
	err := f.parse(o.Value)
	if err == nil {
		delete(ld.failed, o.Path)
		ld.loaded.origins[o.Path] = origin{file: o.Source}
		return
	}
	ld.failed[o.Path] = true
	problem, hint := refusal(err, s, f)
	ld.errs.add(&Error{o.Source, 0, problem, hint})
}
