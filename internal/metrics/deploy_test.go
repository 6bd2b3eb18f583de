package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// metricsOf parses an expression as Prometheus does, and returns the metrics it names.
func metricsOf(t *testing.T, text string) (names []string) {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		t.Errorf("%v in %s", err, text)
		return nil
	}
	parser.Inspect(expression, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			names = append(names, v.Name)
		}
		return nil
	})
	return names
}

// exist reports the metrics of an expression that do not exist.
func exist(t *testing.T, known map[string]bool, text string) {
	t.Helper()
	names := metricsOf(t, text)
	if len(names) == 0 {
		t.Errorf("no metric in %s", text)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("%s is no metric of Pulse's: %s", name, text)
		}
	}
}

// knownMetrics are those that Pulse has, and what Prometheus makes of them.
func knownMetrics(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{"up": true}
	for name := range gathered(t, New("node01", "1.2.3", whole)) {
		known[name], known[name+"_bucket"] = true, true
	}
	return known
}

func deployed(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheAlertRulesAreAboutWhatThereIs(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	reader := yaml.NewDecoder(strings.NewReader(string(deployed(t, "prometheus/alerts.yml"))))
	reader.KnownFields(true)
	if err := reader.Decode(&file); err != nil {
		t.Fatal(err)
	}
	known, rules := knownMetrics(t), 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			exist(t, known, r.Expr)
			if _, err := time.ParseDuration(r.For); err != nil && r.For != "" {
				t.Errorf("%s: for: %v", r.Alert, err)
			}
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say how grave it is and what to do", r.Alert)
			}
		}
	}
	if rules < 10 {
		t.Errorf("%d rules", rules)
	}
}

// An agent that nobody waits for any more is in no rule about the fleet.
func TestNoAlertRuleCountsTheDormant(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/alerts.yml"), &file); err != nil {
		t.Fatal(err)
	}
	about := 0
	for _, r := range file.Groups[0].Rules {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		parser.Inspect(expression, func(n parser.Node, _ []parser.Node) error {
			v, ok := n.(*parser.VectorSelector)
			if !ok || v.Name != "pulse_agents" {
				return nil
			}
			about++
			for _, m := range v.LabelMatchers {
				if m.Name == "status" && m.Matches("dormant") {
					t.Errorf("%s counts the dormant: %s", r.Alert, v)
				}
			}
			return nil
		})
	}
	if about < 3 {
		t.Errorf("%d selectors of pulse_agents", about)
	}
}

func TestTheGrafanaDashboardShowsWhatThereIs(t *testing.T) {
	var board struct {
		Title  string `json:"title"`
		Panels []struct {
			Title   string                                `json:"title"`
			Targets []struct{ Expr, LegendFormat string } `json:"targets"`
			GridPos struct{ X, Y, W, H int }              `json:"gridPos"`
		} `json:"panels"`
		Annotations struct{ List []struct{ Expr string } } `json:"annotations"`
	}
	if err := json.Unmarshal(deployed(t, "grafana/pulse.json"), &board); err != nil {
		t.Fatal(err)
	}
	known := knownMetrics(t)
	variables := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*")
	for _, p := range board.Panels {
		if len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: %+v", p.Title, p)
		}
		for _, target := range p.Targets {
			exist(t, known, variables.Replace(target.Expr))
		}
	}
	for _, a := range board.Annotations.List {
		exist(t, known, variables.Replace(a.Expr))
	}
	if len(board.Panels) < 15 {
		t.Errorf("%d panels", len(board.Panels))
	}
}
