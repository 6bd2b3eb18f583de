package main

import (
	"fmt"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCommand) Help() string {
	return `Prints shell code for the shell's start-up file. The Linux packages install it by themselves.

    source <(pulse completion bash)      # in ~/.bashrc; zsh likewise, in ~/.zshrc
    pulse completion fish | source       # in ~/.config/fish/config.fish`
}

// completions make a shell run pulse itself, with the line so far in COMP_LINE.
var completions = map[string]string{
	"bash": `complete -o default -o bashdefault -C pulse pulse
`,
	"zsh": `autoload -U +X bashcompinit && bashcompinit
complete -o default -o bashdefault -C pulse pulse
`,
	"fish": `function __complete_pulse
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    pulse
end
complete -f -c pulse -a "(__complete_pulse)"
`,
}

func (c *completionCommand) Run(e *env) error {
	_, err := fmt.Fprint(e.stdout, completions[c.Shell])
	return err
}
