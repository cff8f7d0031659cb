package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMistakesInWhoIsAskedNameKeyAndLine(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"an unknown member": {
			"authentication:\n  order: [clientCertificate, tokenfiles]",
			`:2: authentication.order is "tokenfiles", want names among requestHeader, clientCertificate, password, tokenFile, ` +
				"serviceAccount, bootstrapToken, jwt, webhook, plugins and plugin:NAME; did you mean tokenFile?",
		},
		"a plugin's name that is none": {
			"authentication:\n  order: [plugin:No, jwt]",
			`:2: authentication.order is "plugin:No", want names among requestHeader, `,
		},
		"a member twice": {
			"authentication:\n  order: [jwt, webhook, jwt]",
			`:2: authentication.order is "jwt,webhook,jwt", want each name once, but jwt stands twice`,
		},
		"no member": {
			"authentication:\n  order: []",
			`:2: authentication.order is "", want at least one name; nobody could come in`,
		},
		"a member that is configured and never asked": {
			"authentication:\n  order: [clientCertificate]\n  tokenFiles: [tokens.csv]",
			":2: authentication.order does not list tokenFile, but authentication.tokenFiles is set (",
		},
		"every path and one": {
			`authentication: {anonymousPaths: ["*", /version]}`,
			`:1: authentication.anonymousPaths is "*,/version", want a path, such as /version, or * alone for every path, or none alone`,
		},
		"a header that is none": {
			"authentication: {requestHeader: {usernameHeaders: [X Remote User]}}",
			`:1: authentication.requestHeader.usernameHeaders is "X Remote User", want the name of a header`,
		},
		"no truth": {
			"authentication: {bootstrapTokens: yes}",
			`:1: authentication.bootstrapTokens is "yes", want true or false`,
		},
		"a version that is none": {
			"authentication: {webhook: {version: v2}}",
			`:1: authentication.webhook.version is "v2", want v1 or v1beta1`,
		},
		"a type of addresses that is none": {
			"kubelets: {addressTypes: [InternalIp]}",
			`:1: kubelets.addressTypes is "InternalIp", want types among Hostname, InternalDNS, InternalIP, ExternalDNS, ExternalIP; ` +
				"did you mean InternalIP?",
		},
		"a type of addresses twice": {
			"kubelets: {addressTypes: [InternalIP, Hostname, InternalIP]}",
			`:1: kubelets.addressTypes is "InternalIP,Hostname,InternalIP", want each type once, but InternalIP stands twice`,
		},
		"an issuer without https": {
			"serviceAccounts: {acceptedIssuers: [https://a.example, http://b.example]}",
			`:1: serviceAccounts.acceptedIssuers is "http://b.example", want an https URL without query or fragment`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.file, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is\n\t%v\nwant\n\t%s", err, test.want)
			}
		})
	}
}

func TestPathsOfUsersStartAtTheFileThatNamesThem(t *testing.T) {
	c, err := load(t, "authentication: {tokenFiles: [a, b/c], webhook: {configFile: hook}, passwordFiles: [/p]}", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(c.Authentication.Webhook.ConfigFile)
	want := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b", "c"), "/p"}
	got := append(c.Authentication.TokenFiles, c.Authentication.PasswordFiles...)
	if diff := cmp.Diff(want, got); diff != "" || !filepath.IsAbs(dir) {
		t.Errorf("in %s (-want +got):\n%s", dir, diff)
	}
}

func TestNothingAnonymousIsNotTheDefault(t *testing.T) {
	for file, want := range map[string]bool{"": true, "authentication: {anonymousPaths: none}": false, "authentication: {anonymousPaths: []}": false} {
		c, err := load(t, file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Authentication.AnonymousPaths == nil; got != want {
			t.Errorf("%q gives the default: %t, want %t", file, got, want)
		}
	}
}
