package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCommand) Help() string {
	return `Prints shell code for the shell's start-up file. The Linux packages install it by themselves.

    source <(pulse completion bash)      # in ~/.bashrc
    source <(pulse completion zsh)       # in ~/.zshrc, behind compinit
    pulse completion fish | source       # in ~/.config/fish/config.fish

Agents, nodes and silences are those of the running daemon on this host, if it answers at once; contexts are those of
the nats command line. Values with characters that mean something to a shell are left out.`
}

func (c *completionCommand) Run(e *env) error {
	all := listCompletions(newParser(nil).Model.Node)
	switch c.Shell {
	case "fish":
		return writeFishCompletion(e.stdout, all)
	case "zsh":
		return writeZshCompletion(e.stdout, all)
	}
	return writeBashCompletion(e.stdout, all)
}

// completion is what may follow one command on the command line.
type completion struct {
	path   string              // the command with those above it: "pulse keys generate"
	words  []string            // commands, or the values of an argument that is an enumeration
	flags  []string            // with their dashes
	values map[string][]string // of the flags that have one; nil for any value
	kinds  map[string]string   // of values that pulse complete lists, by flag; "" for arguments
	help   map[string]string   // of words and flags
}

// listCompletions returns the completions of a command and of those below it,
// without hidden ones.
func listCompletions(node *kong.Node) []completion {
	c := completion{path: node.FullPath(), values: map[string][]string{}, kinds: map[string]string{}, help: map[string]string{}}
	all := []completion{c}
	for _, child := range node.Children {
		if !child.Hidden {
			c.addCommand(child)
			all = append(all, listCompletions(child)...)
		}
	}
	for _, p := range node.Positional {
		if p.Enum != "" {
			c.words = append(c.words, listEnum(p)...)
		}
		switch kind := p.Tag.Get("complete"); kind {
		case "":
		case "commands": // those beside this one
			for _, sibling := range node.Parent.Children {
				if !sibling.Hidden {
					c.addCommand(sibling)
				}
			}
		default:
			c.kinds[""] = kind
		}
	}
	for _, f := range slices.Concat(node.AllFlags(true)...) {
		name := "--" + f.Name
		c.flags = append(c.flags, name)
		c.help[name] = f.Help
		if !f.IsBool() && !f.IsCounter() {
			if c.values[name] = nil; f.Enum != "" {
				c.values[name] = listEnum(f.Value)
			}
			if kind := f.Tag.Get("complete"); kind != "" {
				c.kinds[name] = kind
			}
		}
	}
	all[0] = c
	return all
}

// listEnum returns the values of a flag or an argument, without the empty one of a flag that is not given.
func listEnum(v *kong.Value) []string {
	return slices.DeleteFunc(v.EnumSlice(), func(value string) bool { return value == "" })
}

func (c *completion) addCommand(node *kong.Node) {
	c.words = append(c.words, node.Name)
	c.help[node.Name] = node.Help
}

// subcommandPaths returns the paths of all commands, without the program itself.
func subcommandPaths(all []completion) (paths []string) {
	for _, c := range all[1:] {
		paths = append(paths, c.path)
	}
	return paths
}

// writeBashCompletion writes a function that reads the command from the line so
// far. Where it offers nothing, bash completes file names.
func writeBashCompletion(w io.Writer, all []completion) error {
	var values, words strings.Builder
	var free []string // flags with values of any kind
	for _, c := range all {
		fmt.Fprintf(&words, "    '%s') words='%s' flags='%s' kind='%s' ;;\n", c.path, strings.Join(c.words, " "), strings.Join(c.flags, " "), c.kinds[""])
		for _, flag := range c.flags {
			if list, takes := c.values[flag]; len(list) > 0 {
				fmt.Fprintf(&values, "    '%s %s') words='%s' ;;\n", c.path, flag, strings.Join(list, " "))
			} else if kind := c.kinds[flag]; kind != "" {
				fmt.Fprintf(&values, "    '%s %s') kind=%s ;;\n", c.path, flag, kind)
			} else if takes {
				free = append(free, c.path+" "+flag)
			}
		}
	}
	_, err := fmt.Fprintf(w, `# Completion of pulse's commands, flags and values, for bash 4 or later.
_pulse() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at=pulse words= flags= kind= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${COMP_WORDS[i]}" in
        '%s') at+=" ${COMP_WORDS[i]}" ;;
        esac
    done
    if [[ $cur == "=" ]]; then # --flag= is two words
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case "$at $prev" in
    '%s') return ;;
%s    *)
    case "$at" in
%s    esac
    ;;
    esac
    if [[ $cur == -* ]]; then
        words=$flags
    elif [[ -n $kind ]]; then # of harmless characters, as compgen expands them
        words=$(pulse complete "$kind" -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [[ $kind == filters ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o default -o bashdefault -F _pulse pulse
`, strings.Join(subcommandPaths(all), "' | '"), strings.Join(free, "' | '"), values.String(), words.String())
	return err
}

// writeFishCompletion writes a line for each command, flag and value.
func writeFishCompletion(w io.Writer, all []completion) error {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	b := new(strings.Builder)
	fmt.Fprintf(b, `# Completion of pulse's commands, flags and values, for fish.
function __pulse_at
    set -l at
    for word in (commandline -opc)
        if test -z "$at"
            set at pulse
        else if contains -- "$at $word" '%s'
            set at "$at $word"
        end
    end
    test "$at" = "$argv"
end
function __pulse_values
    pulse complete $argv[1] -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
`, strings.Join(subcommandPaths(all), "' '"))
	for _, c := range all {
		condition := fmt.Sprintf("complete -c pulse -n '__pulse_at %s'", c.path)
		for _, word := range c.words {
			fmt.Fprintf(b, "%s -f -a '%s' -d '%s'\n", condition, word, quote.Replace(c.help[word]))
		}
		if kind := c.kinds[""]; kind != "" {
			fmt.Fprintf(b, "%s -f -a '(__pulse_values %s)'\n", condition, kind)
		}
		for _, flag := range c.flags {
			fmt.Fprintf(b, "%s -l '%s' -d '%s'", condition, strings.TrimPrefix(flag, "--"), quote.Replace(c.help[flag]))
			if list, takes := c.values[flag]; takes {
				b.WriteString(" -r")
				if len(list) > 0 {
					fmt.Fprintf(b, " -f -a '%s'", strings.Join(list, " "))
				} else if kind := c.kinds[flag]; kind != "" {
					fmt.Fprintf(b, " -f -a '(__pulse_values %s)'", kind)
				}
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeZshCompletion writes a function that reads the command from the line so far, as
// bash's does. The file may be sourced, or found by compinit as _pulse.
func writeZshCompletion(w io.Writer, all []completion) error {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `'\''`, `:`, `\:`)
	describe := func(c *completion, list []string) string {
		var b strings.Builder
		for _, word := range list {
			fmt.Fprintf(&b, " '%s:%s'", word, quote.Replace(c.help[word]))
		}
		return b.String()
	}
	var values, words strings.Builder
	for i := range all {
		c := &all[i]
		fmt.Fprintf(&words, "    '%s') words_of=(%s ) flags=(%s ) kind='%s' ;;\n", c.path, describe(c, c.words), describe(c, c.flags), c.kinds[""])
		for _, flag := range c.flags {
			if list, takes := c.values[flag]; len(list) > 0 {
				fmt.Fprintf(&values, "    '%s %s') compadd -- '%s'; return ;;\n", c.path, flag, strings.Join(list, "' '"))
			} else if kind := c.kinds[flag]; kind != "" {
				fmt.Fprintf(&values, "    '%s %s') _pulse_values %s; return ;;\n", c.path, flag, kind)
			} else if takes {
				fmt.Fprintf(&values, "    '%s %s') _files; return ;;\n", c.path, flag)
			}
		}
	}
	_, err := fmt.Fprintf(w, `#compdef pulse
# Completion of pulse's commands, flags and values, for zsh.
_pulse_values() {
    local -a found
    local colon='\:'
    found=(${(f)"$(pulse complete $1 -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    found=("${(@)found//:/$colon}")
    found=("${(@)found/$'\t'/:}")
    _describe value found
}
_pulse() {
    local at=pulse word flag= kind=
    local -a words_of flags
    for word in ${words[2,CURRENT-1]}; do
        case "$at $word" in
        '%s') at+=" $word" ;;
        esac
    done
    if [[ $PREFIX == --*=* ]]; then # --flag=value is one word
        flag=${PREFIX%%%%=*}
        compset -P '*='
    elif [[ ${words[CURRENT-1]} == -* ]]; then
        flag=${words[CURRENT-1]}
    fi
    case "$at $flag" in
%s    esac
    case "$at" in
%s    esac
    if [[ $PREFIX == -* ]]; then
        _describe flag flags
    elif [[ -n $kind ]]; then
        _pulse_values $kind
    elif (( $#words_of )); then
        _describe command words_of
    else
        _files
    fi
}
if [[ $funcstack[1] == _pulse ]]; then
    _pulse "$@"
else
    compdef _pulse pulse
fi
`, strings.Join(subcommandPaths(all), "' | '"), values.String(), words.String())
	return err
}
