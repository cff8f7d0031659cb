package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const examples = "../../configs"

func TestEveryExampleLoads(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no examples")
	}
	for _, file := range files {
		if _, err := load(t, "", nil, "--config", file); err != nil {
			t.Error(err)
		}
	}
}

// What an example has commented out is there to be uncommented: each such line has to load in place of the line above it
// that sets the same key, if there is one.
func TestEveryKeyThatAnExampleCommentsOutLoads(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`^( *)# ([a-z][A-Za-z]*:) `)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(content), "\n")
		for i, line := range lines {
			match := commented.FindStringSubmatch(line)
			if match == nil {
				continue
			}
			uncommented := make([]string, 0, len(lines))
			for j, other := range lines {
				switch {
				case j == i:
					uncommented = append(uncommented, strings.Replace(other, "# ", "", 1))
				case strings.HasPrefix(other, match[1]+match[2]):
				default:
					uncommented = append(uncommented, other)
				}
			}
			if _, err := load(t, strings.Join(uncommented, "\n"), nil); err != nil {
				t.Errorf("%s, line %d without its #: %v", file, i+1, err)
			}
		}
	}
}

// Names of keys in comments, variables and flags go stale without anybody noticing.
func TestEveryVariableAndFlagThatAnExampleMentionsExists(t *testing.T) {
	names := map[string]bool{fileVariable: true, "--config": true}
	c := Default()
	for _, k := range keys(&c) {
		names[k.variable()], names["--"+k.flag()], names[k.path] = true, true, true
	}
	files, err := filepath.Glob(filepath.Join(examples, "*"))
	if err != nil {
		t.Fatal(err)
	}
	mention := regexp.MustCompile(`GATEHOUSE_[A-Z_]+|(?:^|[ (])--[a-z-]+|\b[a-z]+\.[a-z]+[A-Z][A-Za-z]+`)
	gatehouseLine := regexp.MustCompile(`gatehouse |GATEHOUSE_|\(--|[a-z]\.[a-z]+[A-Z]`)
	found := 0
	for _, file := range append(files, "../../Dockerfile") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if !gatehouseLine.MatchString(line) || strings.Contains(line, "docker ") || strings.HasPrefix(line, "COPY ") {
				continue
			}
			for _, name := range mention.FindAllString(line, -1) {
				found++
				if name = strings.TrimLeft(name, " ("); !names[name] {
					t.Errorf("%s mentions %s, which does not exist", file, name)
				}
			}
		}
	}
	if found == 0 {
		t.Error("found no name to check")
	}
}
