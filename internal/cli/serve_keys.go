package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/server"
)

// newServeKeys is "sr3 serve keys".
func newServeKeys(s *streams) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke keys for the server",
		Long: `keys looks after the file of keys of "sr3 serve": names and SHA-256 hashes of random
256-bit keys, readable by its owner alone. A key is shown once, when it is made, and
cannot be found out again. Programs send it as "Authorization: Bearer KEY" or
"X-API-Key: KEY"; clients of the A1111 dialect as the password of HTTP Basic.

A running server learns of changes within seconds. Jobs of a revoked key stay until
they expire, and nobody sees them; a new key of the same name does not inherit them.`,
		Example: `  sr3 serve keys new alice
  sr3 serve keys list
  sr3 serve keys revoke alice`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q; there are new, list and revoke", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&path, "keys", keysFile(), "file of keys")
	needPath := func(*cobra.Command, []string) error {
		if path == "" {
			return usagef("--keys is needed: this user has no folder for data")
		}
		return nil
	}
	cmd.PersistentPreRunE = needPath
	cmd.AddCommand(
		&cobra.Command{
			Use: "new NAME", Short: "Make a key and print it, once", Args: nArgs(1, "a name for the key"),
			RunE: func(_ *cobra.Command, args []string) error { return newServeKey(s, path, args[0]) },
		},
		&cobra.Command{
			Use: "list", Aliases: []string{"ls"}, Short: "List the names of keys", Args: noArgs,
			RunE: func(*cobra.Command, []string) error { return listServeKeys(s, path) },
		},
		&cobra.Command{
			Use: "revoke NAME", Short: "Take a key away", Args: nArgs(1, "the name of a key"),
			RunE: func(_ *cobra.Command, args []string) error {
				if err := server.RevokeKey(path, args[0]); err != nil {
					return err
				}
				fmt.Fprintf(s.err, "sr3: %s is revoked\n", args[0])
				return nil
			},
		})
	return cmd
}

// newServeKey makes a key.
func newServeKey(s *streams, path, name string) error {
	text, _, err := server.NewKey(path, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "sr3: the key of %s; it is not shown again. Its hash is in %s\n", name, path)
	_, err = fmt.Fprintln(s.out, text)
	return err
}

// listServeKeys prints names, the marks that jobs of the keys bear, and dates.
func listServeKeys(s *streams, path string) error {
	list, err := server.ListKeys(path)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintf(s.err, "sr3: there are no keys in %s; make one with: sr3 serve keys new NAME\n", path)
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tOWNER\tMADE")
	for _, k := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.Name, k.Owner(), k.Created.Format("2006-01-02"))
	}
	return w.Flush()
}
