package main

import "github.com/wazuh-pulse/pulse/internal/wazuhrules"

type wazuhRulesCommand struct {
	FirstID int `help:"The first of the 100 IDs of which the rules take some." default:"119500" placeholder:"N"`
}

func (*wazuhRulesCommand) Help() string {
	return `Prints the rules with which a Wazuh manager makes alerts of Pulse's events, for a Pulse beside that manager. On the
manager's host, as root:

    pulse wazuh-rules | install -o wazuh -g wazuh -m 0660 /dev/stdin /var/ossec/etc/rules/pulse_rules.xml
    systemctl restart wazuh-manager

If another file of yours has rules with IDs from 119500 to 119599, give Pulse's others: --first-id 118000. "pulse doctor" says whether
the rules are installed.`
}

func (c *wazuhRulesCommand) Validate() error { return wazuhrules.ValidFirstID(c.FirstID) }

func (c *wazuhRulesCommand) Run(e *env) error {
	_, _ = e.stdout.Write(wazuhrules.Format(c.FirstID)) // it keeps the error of a failed write
	return nil
}
