package pulse_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/wazuh-pulse/pulse/internal/config"
)

// composeFile is the part of a compose file that is checked.
type composeFile struct {
	Services map[string]struct {
		Image       string   `yaml:"image"`
		Restart     string   `yaml:"restart"`
		DependsOn   []string `yaml:"depends_on"`
		NetworkMode string   `yaml:"network_mode"`
		GroupAdd    []string `yaml:"group_add"`
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Ports       []string `yaml:"ports"`
		Volumes     []string `yaml:"volumes"`
	} `yaml:"services"`
	Volumes map[string]any `yaml:"volumes"`
}

func parseYAML(t *testing.T, path string, into any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(page(t, path)))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// settingsInContainer returns the settings of deploy/containers as a container has them,
// and checks that every file that they name is below something mounted.
func settingsInContainer(t *testing.T, mounted []string) {
	t.Helper()
	l, err := config.Load("deploy/containers/pulse.conf")
	if err != nil {
		t.Fatal(err)
	}
	p := &l.Pulse
	for _, path := range []string{p.HTTPTokenFile, p.HTTPCert, p.HTTPKey, p.ClientKeys, filepath.Join(p.Home, "queue/db/wdb"), p.StateDir, "/var/ossec/etc/pulse.conf", "/var/ossec/etc/pulse.d"} {
		if !slices.ContainsFunc(mounted, func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }) {
			t.Errorf("%s is in none of %q", path, mounted)
		}
	}
	if slices.Contains(mounted, p.StateDir) {
		t.Errorf("%s is a volume's root, which may be others' to write to", p.StateDir)
	}
}

func TestTheComposeFileMountsWhatTheSettingsName(t *testing.T) {
	var file composeFile
	parseYAML(t, "deploy/containers/compose.yml", &file)
	pulse := file.Services["pulse"]
	if pulse.NetworkMode != "service:wazuh.manager" || len(pulse.Ports) > 0 || len(file.Services["wazuh.manager"].Ports) == 0 {
		t.Errorf("%+v: a container in another's network namespace has no ports of its own", pulse)
	}
	volumes := []string{"wazuh_etc", "wazuh_queue"} // wazuh-docker's own
	for name := range file.Volumes {
		volumes = append(volumes, name)
	}
	var mounted []string
	for _, v := range pulse.Volumes {
		parts := strings.Split(v, ":")
		if !strings.HasPrefix(parts[0], "./") && !slices.Contains(volumes, parts[0]) {
			t.Errorf("%s: there is no such volume", v)
		}
		mounted = append(mounted, parts[1])
	}
	settingsInContainer(t, mounted)
}

// statefulSet is the part of a StatefulSet that the patch has.
type statefulSet struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Spec       struct {
		Template struct {
			Spec struct {
				Volumes []struct {
					Name      string
					ConfigMap *struct{ Name string } `yaml:"configMap"`
					Secret    *struct {
						SecretName  string `yaml:"secretName"`
						DefaultMode int    `yaml:"defaultMode"`
					}
				}
				Containers []struct {
					Name, Image     string
					SecurityContext map[string]any `yaml:"securityContext"`
					Resources       map[string]any
					Ports           []struct {
						ContainerPort int `yaml:"containerPort"`
						Name          string
					}
					ReadinessProbe map[string]any `yaml:"readinessProbe"`
					LivenessProbe  map[string]any `yaml:"livenessProbe"`
					VolumeMounts   []struct {
						Name      string
						MountPath string `yaml:"mountPath"`
						SubPath   string `yaml:"subPath"`
						ReadOnly  bool   `yaml:"readOnly"`
					} `yaml:"volumeMounts"`
				}
			}
		}
	}
}

func TestTheKubernetesPatchMountsWhatTheSettingsName(t *testing.T) {
	var set statefulSet
	parseYAML(t, "deploy/containers/kubernetes.yml", &set)
	volumes := []string{set.Metadata.Name} // the claim that wazuh-kubernetes has
	for _, v := range set.Spec.Template.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	if len(set.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%+v", set)
	}
	pulse := set.Spec.Template.Spec.Containers[0]
	var mounted []string
	for _, m := range pulse.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("%+v: there is no such volume", m)
		}
		if !m.ReadOnly && m.MountPath != "/var/lib/pulse" {
			t.Errorf("%+v may be written to", m)
		}
		mounted = append(mounted, m.MountPath)
	}
	settingsInContainer(t, mounted)
}

// What the image copies is what make makes, and .dockerignore lets through.
func TestTheImageCopiesWhatMakeMakes(t *testing.T) {
	ignore, err := os.ReadFile(".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	makefile := page(t, "Makefile")
	for line := range strings.SplitSeq(page(t, "Dockerfile"), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "COPY" {
			continue
		}
		source := fields[len(fields)-2]
		top, _, _ := strings.Cut(strings.TrimPrefix(source, "dist/"), "/")
		top, _, _ = strings.Cut(top, "$")
		if !strings.Contains(string(ignore), "!dist/"+top) || !strings.Contains(makefile, "dist/"+top) {
			t.Errorf("%s: %s is left out", line, source)
		}
	}
}
