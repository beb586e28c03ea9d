package cli

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/study"
)

func newStudy(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "study",
		Short: "Ask people which image is the photograph (fool rates)",
		Long: `study runs the paper's human evaluation: people see an original beside a method's
result for three seconds and say which is the photograph. The fool rate of a method
is the share of trials in which its result was chosen; 50 % is the ceiling.

  sr3 study new FOLDER ...      make a study of images
  sr3 study serve FOLDER        show it to people
  sr3 study links FOLDER -n 20  make links for 20 people
  sr3 study report FOLDER       what they answered

docs/study.md has the protocol, how it differs from the paper's, and how many people
it takes.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("study has no command %q; it has new, serve, links and report", args[0])
		},
	}
	cmd.AddCommand(newStudyNew(s), newStudyServe(s), newStudyLinks(s), newStudyReport(s))
	return cmd
}

// defaultStudyAddress is where a study is served if nothing else is said: on this
// machine alone.
const defaultStudyAddress = "127.0.0.1:8190"

// studyBase is the address that links begin with.
func studyBase(given, addr string) (string, error) {
	if given == "" {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return "", usagef("address %q: want HOST:PORT, such as %s", addr, defaultStudyAddress)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		return "http://" + net.JoinHostPort(host, port), nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", usagef("--url %q: want http://HOST[:PORT] or https://HOST[:PORT] without a path", given)
	}
	return u.Scheme + "://" + u.Host, nil
}

func newStudyLinks(s *streams) *cobra.Command {
	var n int
	var base string
	var unused bool
	cmd := &cobra.Command{
		Use:   "links FOLDER -n N",
		Short: "Make links, one for each person",
		Long: `links makes N links to a study and prints them, one a line. Each is for one person:
whoever opens it sees trials of their own and can stop and go on later. A link holds a
random name and nothing else. Links can be made while the study is being served.

--unused prints those that nobody has used so far instead of making new ones.`,
		Example: `  sr3 study links faces -n 20 --url https://study.example.org
  sr3 study links faces --unused`,
		Args: nArgs(1, "the folder of a study"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if unused == (n > 0) || n < 0 {
				return usagef("want -n N, the number of links, or --unused")
			}
			address, err := studyBase(base, defaultStudyAddress)
			if err != nil {
				return err
			}
			f, err := study.Open(args[0])
			if err != nil {
				return err
			}
			store, err := f.OpenStore(cmd.Context())
			if err != nil {
				return err
			}
			tokens, err := linkTokens(cmd, store, n)
			if err = errors.Join(err, store.Close()); err != nil {
				return err
			}
			for _, token := range tokens {
				fmt.Fprintf(s.out, "%s/s/%s\n", address, token)
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&n, "number", "n", 0, "how many links to make")
	cmd.Flags().StringVar(&base, "url", "", "what links begin with (default http://"+defaultStudyAddress+")")
	cmd.Flags().BoolVar(&unused, "unused", false, "print links that nobody has used")
	return cmd
}

func linkTokens(cmd *cobra.Command, store *study.Store, n int) ([]string, error) {
	if n > 0 {
		return store.AddSubjects(cmd.Context(), n)
	}
	return store.Unused(cmd.Context())
}
