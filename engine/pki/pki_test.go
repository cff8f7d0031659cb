package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	testclock "k8s.io/utils/clock/testing"
)

// start is when the tests' servers start for the first time.
func start() time.Time { return time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC) }

const day = 24 * time.Hour

// fixture is a data directory, a machine and a clock.
type fixture struct {
	t       *testing.T
	request Request
	clock   *testclock.FakeClock
	host    Host
	log     *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{
		t:     t,
		clock: testclock.NewFakeClock(start()),
		host:  Host{Name: "Edge", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}},
		log:   new(bytes.Buffer),
	}
	f.request = Request{
		DataDir:      t.TempDir(),
		ServerURL:    "https://127.0.0.1:6443",
		Names:        []string{"edge.example.org", "203.0.113.5", "", "::"},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00::/108")},
		Host:         func() (Host, error) { return f.host, nil },
		Clock:        f.clock,
		Logger:       slog.New(slog.NewTextHandler(f.log, nil)),
	}
	return f
}

func (f *fixture) ensure() *Bundle {
	f.t.Helper()
	bundle, err := Ensure(f.request)
	if err != nil {
		f.t.Fatal(err)
	}
	return bundle
}

func (f *fixture) wantEnsureError(want ...string) {
	f.t.Helper()
	_, err := Ensure(f.request)
	if err == nil {
		f.t.Fatalf("no error, want %q", want)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			f.t.Errorf("error is\n\t%s\nwant\n\t%s", err, part)
		}
	}
}

func (f *fixture) path(parts ...string) string {
	return filepath.Join(append([]string{f.request.DataDir}, parts...)...)
}

func (f *fixture) read(parts ...string) []byte {
	f.t.Helper()
	content, err := os.ReadFile(f.path(parts...))
	if err != nil {
		f.t.Fatal(err)
	}
	return content
}

func (f *fixture) write(content []byte, parts ...string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(parts...)), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path(parts...), content, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// snapshot is the content of every file, by path.
func (f *fixture) snapshot() map[string]string {
	f.t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(f.request.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(f.request.DataDir, path)
		files[name] = string(content)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}

// changes are the names of files that differ between two snapshots.
func changes(before, after map[string]string) []string {
	var changed []string
	for _, name := range []string{
		"admin.kubeconfig", "pki/ca.crt", "pki/ca.key", "pki/front-proxy/ca.crt", "pki/front-proxy/ca.key", "pki/kubelet-client.pem",
		"pki/service-account/0001.key", "pki/serving.pem",
	} {
		if before[name] != after[name] {
			changed = append(changed, name)
		}
	}
	if len(before) != len(after) {
		changed = append(changed, "the number of files")
	}
	return changed
}

func TestTheFirstStartMakesEverythingForItsOwnerOnly(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	want := map[string]fs.FileMode{
		"admin.kubeconfig": 0o600, "pki": 0o700, "pki/ca.crt": 0o644, "pki/ca.key": 0o600, "pki/serving.pem": 0o600,
		"pki/front-proxy": 0o700, "pki/front-proxy/ca.crt": 0o644, "pki/front-proxy/ca.key": 0o600,
		"pki/kubelet-client.pem": 0o600, "pki/service-account": 0o700, "pki/service-account/0001.key": 0o600,
	}
	got := make(map[string]fs.FileMode)
	err := filepath.WalkDir(f.request.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == f.request.DataDir {
			return err
		}
		info, err := entry.Info()
		name, _ := filepath.Rel(f.request.DataDir, path)
		got[name] = info.Mode().Perm()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files and modes (-want +got):\n%s", diff)
	}
}

func TestASecondStartChangesNothing(t *testing.T) {
	f := newFixture(t)
	first := f.ensure()
	before := f.snapshot()
	f.clock.Step(200 * day)
	second := f.ensure()
	if diff := changes(before, f.snapshot()); diff != nil {
		t.Errorf("changed %v", diff)
	}
	if !first.serving.Load().Leaf.Equal(second.serving.Load().Leaf) {
		t.Error("serves another certificate")
	}
	if !samePublicKey(first.ServiceAccountSigner().Public(), second.ServiceAccountSigner().Public()) {
		t.Error("signs service account tokens with another key")
	}
}

func TestTheServingCertificateIsForAllNamesOfTheServer(t *testing.T) {
	f := newFixture(t)
	leaf := f.ensure().serving.Load().Leaf
	got := certificateNames(leaf.DNSNames, leaf.IPAddresses)
	want := names{
		dns: []string{"edge", "edge.example.org", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local", "localhost"},
	}
	for _, ip := range []string{"10.96.0.1", "127.0.0.1", "192.0.2.10", "203.0.113.5", "::1", "fd00::1"} {
		want.ips = append(want.ips, netip.MustParseAddr(ip))
	}
	if !got.equal(want) {
		t.Errorf("names are\n\t%v\nwant\n\t%v", got, want)
	}
	if got, want := leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}; !cmp.Equal(got, want) {
		t.Errorf("extended key usage is %v, want %v", got, want)
	}
}

func TestThisHostHasANameAndNoLoopback(t *testing.T) {
	host, err := ThisHost()
	if err != nil {
		t.Fatal(err)
	}
	if host.Name == "" {
		t.Error("the host has no name")
	}
	for _, address := range host.Addresses {
		if address.IsLoopback() || address.IsLinkLocalUnicast() {
			t.Errorf("%s is not reachable by others", address)
		}
	}
}

func TestOnlyWhatHasToBeIsMadeAnew(t *testing.T) {
	const serving, kubeconfig, kubelets = "pki/serving.pem", "admin.kubeconfig", "pki/kubelet-client.pem"
	for name, test := range map[string]struct {
		change func(*fixture)
		want   []string
		logged string
	}{
		"nothing, while a third of the time is left": {
			change: func(f *fixture) { f.clock.Step(243 * day) },
		},
		"certificates with less than a third of their time left": {
			change: func(f *fixture) { f.clock.Step(244 * day) },
			want:   []string{kubeconfig, kubelets, serving},
			logged: "it is about to expire",
		},
		"certificates that have expired": {
			change: func(f *fixture) { f.clock.Step(3 * 365 * day) },
			want:   []string{kubeconfig, kubelets, serving},
			logged: "it has expired",
		},
		"certificates from a clock that was ahead": {
			change: func(f *fixture) { f.clock.SetTime(start().Add(-30 * time.Minute)) },
		},
		"the serving certificate of a machine with a new address": {
			change: func(f *fixture) { f.host.Addresses[0] = netip.MustParseAddr("192.0.2.11") },
			want:   []string{serving},
			logged: "names of this machine",
		},
		"the serving certificate of a machine with a new name": {
			change: func(f *fixture) { f.host.Name = "core" },
			want:   []string{serving},
		},
		"the serving certificate when a configured name goes": {
			change: func(f *fixture) { f.request.Names = f.request.Names[1:] },
			want:   []string{serving},
		},
		"the serving certificate for another range of Services": {
			change: func(f *fixture) { f.request.ServiceCIDRs[0] = netip.MustParsePrefix("10.43.0.0/16") },
			want:   []string{serving},
		},
		"the serving certificate when it is gone": {
			change: func(f *fixture) { f.remove("pki", "serving.pem") },
			want:   []string{serving},
			logged: "there was none",
		},
		"the certificate for kubelets when it is gone": {
			change: func(f *fixture) { f.remove("pki", "kubelet-client.pem") },
			want:   []string{kubelets},
			logged: "there was none",
		},
		"the authority of front proxies when it is gone": {
			change: func(f *fixture) { f.remove("pki", "front-proxy", "ca.crt"); f.remove("pki", "front-proxy", "ca.key") },
			want:   []string{"pki/front-proxy/ca.crt", "pki/front-proxy/ca.key"},
			logged: "made a certificate authority for front proxies",
		},
		"the kubeconfig for another port": {
			change: func(f *fixture) { f.request.ServerURL = "https://127.0.0.1:7443" },
			want:   []string{kubeconfig},
			logged: "server address or authority",
		},
		"the kubeconfig when it is gone": {
			change: func(f *fixture) { f.remove("admin.kubeconfig") },
			want:   []string{kubeconfig},
		},
		"the service account key when it is gone": {
			change: func(f *fixture) { f.remove("pki", "service-account", "0001.key") },
			want:   []string{"pki/service-account/0001.key"},
			logged: "made a service account key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.ensure()
			before := f.snapshot()
			f.log.Reset()
			test.change(f)
			f.ensure()
			if got := changes(before, f.snapshot()); !cmp.Equal(got, test.want) {
				t.Errorf("changed %v, want %v", got, test.want)
			}
			if !strings.Contains(f.log.String(), test.logged) || (test.want == nil) != (f.log.Len() == 0) {
				t.Errorf("logged %q, want %q", f.log, test.logged)
			}
		})
	}
}

func (f *fixture) remove(parts ...string) {
	f.t.Helper()
	if err := os.Remove(f.path(parts...)); err != nil {
		f.t.Fatal(err)
	}
}

func TestFilesThatCannotBeUsedAreNamedAndLeftAlone(t *testing.T) {
	other := newFixture(t)
	other.ensure()
	const newAuthority = "to start with a new authority"
	for name, test := range map[string]struct {
		change func(*fixture)
		want   []string
	}{
		"a certificate of another authority": {
			func(f *fixture) { f.write(other.read("pki", "ca.crt"), "pki", "ca.crt") },
			[]string{"pki/ca.crt does not belong to ca.key beside it", newAuthority},
		},
		"a missing authority": {
			func(f *fixture) { f.remove("pki", "ca.crt"); f.remove("pki", "ca.key") },
			[]string{"pki/ca.crt is missing", newAuthority},
		},
		"a missing authority's key": {
			func(f *fixture) { f.remove("pki", "ca.key") },
			[]string{"pki/ca.key is missing", newAuthority},
		},
		"a damaged authority": {
			func(f *fixture) { f.write([]byte("-----BEGIN"), "pki", "ca.crt") },
			[]string{"pki/ca.crt holds no certificate", newAuthority},
		},
		"a damaged authority's key": {
			func(f *fixture) { f.write(f.read("pki", "ca.key")[:40], "pki", "ca.key") },
			[]string{"pki/ca.key holds no private key", newAuthority},
		},
		"an authority that is none": {
			func(f *fixture) {
				pem := f.read("pki", "serving.pem")
				f.write(pem, "pki", "ca.crt")
				f.write(pem, "pki", "ca.key")
			},
			[]string{"pki/ca.crt is no certificate authority", newAuthority},
		},
		"an expired authority": {
			func(f *fixture) { f.clock.Step(caLifetime + day) },
			[]string{"pki/ca.crt expired on 2046-11-18", newAuthority},
		},
		"an authority from the future": {
			func(f *fixture) { f.clock.Step(-30 * day) },
			[]string{"pki/ca.crt is valid from 2026-11-23 11:00:00 on, but this machine's clock says 2026-10-24 12:00:00; set the clock"},
		},
		"a clock that starts in 1970": {
			func(f *fixture) { f.clock.SetTime(time.Unix(0, 0)) },
			[]string{"this machine's clock says 1970-01-01", "set the clock and start again"},
		},
		"an authority's key that others can read": {
			func(f *fixture) { f.chmod(0o644, "pki", "ca.key") },
			[]string{"pki/ca.key holds a private key, but its mode 0644 lets other users at it; run `chmod 600 /"},
		},
		"a directory of keys that others can enter": {
			func(f *fixture) { f.chmod(0o755, "pki") },
			[]string{"/pki holds private keys, but its mode 0755 lets other users in; run `chmod 700 /"},
		},
		"a directory of service account keys that others can enter": {
			func(f *fixture) { f.chmod(0o750, "pki", "service-account") },
			[]string{"/pki/service-account holds private keys, but its mode 0750"},
		},
		"a service account key that its group can read": {
			func(f *fixture) { f.chmod(0o640, "pki", "service-account", "0001.key") },
			[]string{"0001.key holds a private key, but its mode 0640"},
		},
		"a damaged service account key": {
			func(f *fixture) { f.write(nil, "pki", "service-account", "0001.key") },
			[]string{"service account key ", "0001.key cannot be used", "restore it from a backup or remove it"},
		},
		"service account keys of which none can sign": {
			func(f *fixture) {
				f.remove("pki", "service-account", "0001.key")
				f.write(publicPEM(f.t, other), "pki", "service-account", "0001.pub")
			},
			[]string{"pki/service-account holds public keys but no private one"},
		},
		"a serving certificate that others can read": {
			func(f *fixture) { f.chmod(0o604, "pki", "serving.pem") },
			[]string{"pki/serving.pem holds a private key, but its mode 0604"},
		},
		"a damaged serving certificate": {
			func(f *fixture) { f.write([]byte("x"), "pki", "serving.pem") },
			[]string{"pki/serving.pem cannot be used", "delete it to have a new one issued"},
		},
		"a serving certificate with the key of another": {
			func(f *fixture) {
				certificate, _, _ := bytes.Cut(f.read("pki", "serving.pem"), []byte("-----BEGIN EC"))
				f.write(append(certificate, f.read("pki", "ca.key")...), "pki", "serving.pem")
			},
			[]string{"pki/serving.pem cannot be used", "private key does not match public key"},
		},
		"a serving certificate of another authority": {
			func(f *fixture) { f.write(other.read("pki", "serving.pem"), "pki", "serving.pem") },
			[]string{"pki/serving.pem was not issued by ", "/pki/ca.crt; delete it to have a new one issued"},
		},
		"a damaged certificate for kubelets": {
			func(f *fixture) { f.write([]byte("x"), "pki", "kubelet-client.pem") },
			[]string{"client certificate ", "pki/kubelet-client.pem cannot be used", "delete it to have a new one issued"},
		},
		"a damaged authority of front proxies": {
			func(f *fixture) { f.write([]byte("x"), "pki", "front-proxy", "ca.crt") },
			[]string{"pki/front-proxy/ca.crt holds no certificate", "remove directory ", "/front-proxy to have a new one made"},
		},
		"an authority of front proxies whose directory others can enter": {
			func(f *fixture) { f.chmod(0o711, "pki", "front-proxy") },
			[]string{"/pki/front-proxy holds private keys, but its mode 0711"},
		},
		"a certificate for kubelets that its group can read": {
			func(f *fixture) { f.chmod(0o640, "pki", "kubelet-client.pem") },
			[]string{"pki/kubelet-client.pem holds a private key, but its mode 0640"},
		},
		"a kubeconfig that others can read": {
			func(f *fixture) { f.chmod(0o644, "admin.kubeconfig") },
			[]string{"admin.kubeconfig holds a private key, but its mode 0644"},
		},
		"a kubeconfig that is none": {
			func(f *fixture) { f.write([]byte("kind: Pod\napiVersion: v1\n"), "admin.kubeconfig") },
			[]string{"admin.kubeconfig is no kubeconfig", "delete it and start the server to have a new one made"},
		},
		"a kubeconfig without the key": {
			func(f *fixture) {
				kubeconfig, err := clientcmd.LoadFromFile(f.path("admin.kubeconfig"))
				if err != nil {
					f.t.Fatal(err)
				}
				kubeconfig.AuthInfos[AdminName].ClientKeyData = nil
				content, err := clientcmd.Write(*kubeconfig)
				if err != nil {
					f.t.Fatal(err)
				}
				f.write(content, "admin.kubeconfig")
			},
			[]string{"the certificate of user kubernetes-admin in ", "cannot be used", "delete the file"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.ensure()
			test.change(f)
			before := f.snapshot()
			f.wantEnsureError(test.want...)
			if got := changes(before, f.snapshot()); got != nil {
				t.Errorf("changed %v", got)
			}
		})
	}
}

func (f *fixture) chmod(mode fs.FileMode, parts ...string) {
	f.t.Helper()
	if err := os.Chmod(f.path(parts...), mode); err != nil {
		f.t.Fatal(err)
	}
}

func TestAnInterruptedFirstStartIsMadeGood(t *testing.T) {
	f := newFixture(t)
	f.write([]byte("half a key"), ".pki.123.tmp", "ca.key")
	f.write([]byte("half a kubeconfig"), ".admin.kubeconfig.123.tmp")
	if err := os.Mkdir(f.path("pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.ensure()
	f.write([]byte("half a certificate"), "pki", ".serving.pem.123.tmp")
	f.ensure()
	for name := range f.snapshot() {
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestAnAuthorityOfTheOwnersChoiceIsUsed(t *testing.T) {
	other, f := newFixture(t), newFixture(t)
	other.ensure()
	f.write(other.read("pki", "ca.crt"), "pki", "ca.crt")
	f.write(other.read("pki", "ca.key"), "pki", "ca.key")
	bundle := f.ensure()
	if !bytes.Equal(bundle.CAPEM(), other.read("pki", "ca.crt")) {
		t.Error("the authority is another one")
	}
}

func TestAnAuthorityAboutToExpireIsWarnedAboutAndItsCertificatesEndWithIt(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	f.clock.Step(caLifetime - 100*day)
	f.log.Reset()
	bundle := f.ensure()
	if !strings.Contains(f.log.String(), "the certificate authority expires soon") {
		t.Errorf("logged %q", f.log)
	}
	if got, want := bundle.serving.Load().Leaf.NotAfter, bundle.authority.certificate.NotAfter; !got.Equal(want) {
		t.Errorf("the serving certificate ends %s, want %s as the authority", got, want)
	}
}

func TestTheEndOfTheAuthorityIsWarnedAboutOnceADayAndThenSaysWhatToDo(t *testing.T) {
	f := newFixture(t)
	bundle := f.ensure()
	warnings := func() int {
		t.Helper()
		f.log.Reset()
		if err := bundle.Refresh(); err != nil {
			t.Fatal(err)
		}
		return strings.Count(f.log.String(), "the certificate authority expires soon")
	}
	f.clock.SetTime(bundle.authority.certificate.NotAfter.Add(-caWarning))
	if got := warnings(); got != 0 {
		t.Errorf("%d warnings half a year before the end, want none", got)
	}
	f.clock.Step(time.Minute)
	for hour := range 25 {
		want := 0
		if hour%24 == 0 {
			want = 1
		}
		if got := warnings(); got != want {
			t.Errorf("%d warnings in hour %d, want %d", got, hour, want)
		}
		f.clock.Step(time.Hour)
	}
	f.clock.SetTime(bundle.authority.certificate.NotAfter.Add(time.Second))
	err := bundle.Refresh()
	for _, want := range []string{
		"cannot issue a certificate for gatehouse: certificate authority " + f.path("pki", "ca.crt") + " expired on 2046-11-18",
		"move directory " + f.path("pki") + " away to start with a new authority",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

func TestServiceAccountKeysAreRotatedByAddingFiles(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	first := f.ensure()
	f.write(other.newKeyPEM(), "pki", "service-account", "0002.key")
	f.write(publicPEM(t, other), "pki", "service-account", "elsewhere.pub")
	f.write([]byte("how to rotate"), "pki", "service-account", "README")
	second := f.ensure()

	if samePublicKey(first.ServiceAccountSigner().Public(), second.ServiceAccountSigner().Public()) {
		t.Error("the older key still signs")
	}
	keys := second.ServiceAccountPublicKeys()
	if len(keys) != 3 {
		t.Fatalf("%d keys verify, want 3", len(keys))
	}
	if !samePublicKey(keys[0], second.ServiceAccountSigner().Public()) {
		t.Error("the signer's key is not the first")
	}
	known := false
	for _, key := range keys {
		known = known || samePublicKey(key, first.ServiceAccountSigner().Public())
	}
	if !known {
		t.Error("the older key does not verify any more")
	}
}

func (f *fixture) newKeyPEM() []byte {
	_, text, err := newKey()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// publicPEM holds a public key of another server: that of its certificate, which is how some hand out public keys.
func publicPEM(t *testing.T, other *fixture) []byte {
	t.Helper()
	return other.ensure().CAPEM()
}

func TestAMachineThatDoesNotKnowItsNameIsAnError(t *testing.T) {
	f := newFixture(t)
	unknown := errors.New("cannot find this machine's name")
	f.request.Host = func() (Host, error) { return Host{}, unknown }
	if _, err := Ensure(f.request); !errors.Is(err, unknown) {
		t.Errorf("error is %v, want %v", err, unknown)
	}
}

func BenchmarkEnsureOnAnExistingDirectory(b *testing.B) {
	request := Request{DataDir: b.TempDir(), ServerURL: "https://127.0.0.1:6443"}
	if _, err := Ensure(request); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Ensure(request); err != nil {
			b.Fatal(err)
		}
	}
}
