package userfile

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	"k8s.io/apiserver/pkg/authentication/user"
	clocktesting "k8s.io/utils/clock/testing"
)

// who says whom a token lets in, nil for nobody.
func who(t *testing.T, tokens *Tokens, token string) *user.DefaultInfo {
	t.Helper()
	response, ok, _ := tokens.AuthenticateToken(t.Context(), token)
	if !ok {
		return nil
	}
	return response.User.(*user.DefaultInfo)
}

// whoHas says whom user:password lets in, nil for nobody.
func whoHas(t *testing.T, passwords *Passwords, credentials string) *user.DefaultInfo {
	t.Helper()
	name, password, _ := strings.Cut(credentials, ":")
	response, err := passwords.Authenticate(t.Context(), name, password)
	if err != nil {
		return nil
	}
	return response.User.(*user.DefaultInfo)
}

func hashed(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestTokensAreReadInBothForms(t *testing.T) {
	tokens, notices, err := ParseTokens([]byte("\uFEFF# users\n\n" +
		"t1,jane,42,\"dev, ops,\"\r\n" +
		"t2,joe,43\n" +
		"t3  system:node:a\n" +
		"\"t,4\",ann,44,all\n" +
		"t5,bob,,\n"))
	if err != nil || len(notices) > 0 {
		t.Fatal(err, notices)
	}
	for token, want := range map[string]*user.DefaultInfo{
		"t1":   {Name: "jane", UID: "42", Groups: []string{"dev", "ops"}},
		"t2":   {Name: "joe", UID: "43"},
		"t3":   {Name: "system:node:a"},
		"t,4":  {Name: "ann", UID: "44", Groups: []string{"all"}},
		"t5":   {Name: "bob"},
		"t":    nil,
		"":     nil,
		"T1":   nil,
		"# u":  nil,
		"jane": nil,
	} {
		if diff := cmp.Diff(want, who(t, tokens, token)); diff != "" {
			t.Errorf("%q lets in (-want +got):\n%s", token, diff)
		}
	}
}

func TestTokensThatSayNothingClearLetNobodyIn(t *testing.T) {
	tokens, notices, err := ParseTokens([]byte("t1,jane,1\nt1,joe,2\n,ann,3\nt2 bob\nt2,bob,\nt1,jane,1\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Notice{
		{2, "its token stands on an earlier line as well, for another user; neither is let in by it"},
		{3, "its token is empty; nobody is let in by it"},
		{5, "it repeats an earlier line"},
		{6, "its token stands on an earlier line as well, for another user; neither is let in by it"},
	}
	if diff := cmp.Diff(want, notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
	for token, want := range map[string]*user.DefaultInfo{"t1": nil, "": nil, "t2": {Name: "bob"}} {
		if diff := cmp.Diff(want, who(t, tokens, token)); diff != "" {
			t.Errorf("%q lets in (-want +got):\n%s", token, diff)
		}
	}
}

func TestPasswordsAreReadInEveryForm(t *testing.T) {
	passwords, plaintext, notices, err := ParsePasswords([]byte("# users\n\n" +
		"jane:pass:word \n" +
		base64Of("joe:s, e, c") + "\n" +
		base64Of("ann:"+hashed(t, "bcrypted")) + "\n" +
		"htpasswd:" + strings.Replace(hashed(t, "made by it"), "$2a$", "$2y$", 1) + "\r\n" +
		"old,bob,7,\"dev,ops\"\n" +
		"\"quo:ted\",kim,8\n" +
		hashed(t, "in a column") + ",lee,9,all\n" +
		"max:a,b\n"))
	if err != nil || len(notices) > 0 {
		t.Fatal(err, notices)
	}
	if diff := cmp.Diff([]string{"jane", "joe", "bob", "kim", "max"}, plaintext); diff != "" {
		t.Errorf("with plaintext passwords (-want +got):\n%s", diff)
	}
	for credentials, want := range map[string]*user.DefaultInfo{
		"jane:pass:word ":                     {Name: "jane"},
		"joe:s, e, c":                         {Name: "joe"},
		"ann:bcrypted":                        {Name: "ann"},
		"htpasswd:made by it":                 {Name: "htpasswd"},
		"bob:old":                             {Name: "bob", UID: "7", Groups: []string{"dev", "ops"}},
		"kim:quo:ted":                         {Name: "kim", UID: "8"},
		"lee:in a column":                     {Name: "lee", UID: "9", Groups: []string{"all"}},
		"max:a,b":                             {Name: "max"},
		"jane:pass:word":                      nil,
		"jane":                                nil,
		"jane:":                               nil,
		":":                                   nil,
		"":                                    nil,
		"nobody:pass:word ":                   nil,
		"bob:bcrypted":                        nil,
		base64Of("joe:s, e, c"):               nil,
		"ann:" + hashed(t, "bcrypted"):        nil,
		"htpasswd:" + hashed(t, "made by it"): nil,
	} {
		if diff := cmp.Diff(want, whoHas(t, passwords, credentials)); diff != "" {
			t.Errorf("%q lets in (-want +got):\n%s", credentials, diff)
		}
	}
}

func TestUsersThatTwoLinesNameAreLetInOnlyIfTheyAgree(t *testing.T) {
	passwords, plaintext, notices, err := ParsePasswords([]byte("jane:a\njane:b\njoe:\nann:c\nann:c\nbob:d\nd,bob,1\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Notice{
		{2, "jane stands on line 1 as well; with neither line is anybody let in"},
		{3, "the password of joe is empty; nobody is let in by it"},
		{5, "it repeats an earlier line"},
		{7, "bob stands on line 6 as well; with neither line is anybody let in"},
	}
	if diff := cmp.Diff(want, notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"jane", "ann", "bob"}, plaintext); diff != "" {
		t.Errorf("with plaintext passwords (-want +got):\n%s", diff)
	}
	for credentials, want := range map[string]*user.DefaultInfo{
		"jane:a": nil, "jane:b": nil, "joe:": nil, "joe": nil, "bob:d": nil, "ann:c": {Name: "ann"},
	} {
		if diff := cmp.Diff(want, whoHas(t, passwords, credentials)); diff != "" {
			t.Errorf("%q lets in (-want +got):\n%s", credentials, diff)
		}
	}
}

func TestLinesThatCannotBeUsedAreNamedWithoutTheirSecret(t *testing.T) {
	tokens := func(content []byte) error {
		_, _, err := ParseTokens(content)
		return err
	}
	passwords := func(content []byte) error {
		_, _, _, err := ParsePasswords(content)
		return err
	}
	for _, test := range []struct {
		parse func([]byte) error
		line  string
		want  string
	}{
		{tokens, "hidden", `it is neither token,user,uid,"group1,group2" nor token and user with a blank between`},
		{tokens, "hidden jane dev", `it is neither token,user,uid,"group1,group2" nor token and user with a blank between`},
		{tokens, "hidden,jane", `it has 2 columns, want token,user,uid or token,user,uid,"group1,group2"`},
		{tokens, "hidden,jane,1,dev,ops", `it has 5 columns, want token,user,uid or token,user,uid,"group1,group2"`},
		{tokens, "hidden,,1", "it names no user"},
		{tokens, `hidden,"jane,1`, `its quotes are wrong at column 15: extraneous or missing " in quoted-field`},
		{tokens, "hidden\x00 jane", "it is no line of text"},
		{tokens, "hidden \xff", "it is no line of text"},
		{passwords, "hidden", `it is neither user:password, nor base64 of that, nor password,user,uid,"group1,group2"`},
		{passwords, ":hidden", "it names no user"},
		{passwords, " jane:hidden", "there are blanks around the user's name"},
		{passwords, "hidden,jane", `it has 2 columns, want password,user,uid or password,user,uid,"group1,group2"`},
		{passwords, "jane:hidden,b,c", "it could be user:password or password,user,uid; quote the password if it is the latter, " +
			"encode the line in base64 if it is the former"},
		{passwords, "jane:$2y$hidden", "it begins like a bcrypt hash, but is none"},
		{passwords, "jane:$apr1$hidden$x", "it has a hash that is not bcrypt's; make one with `htpasswd -B`"},
		{passwords, "jane:{SHA}hidden", "it has a hash that is not bcrypt's; make one with `htpasswd -B`"},
		{passwords, "jane:" + strings.Replace(hashed(t, "hidden"), "$04$", "$31$", 1),
			"its bcrypt hash has cost 31, want at most 16: each attempt would take too long"},
		{passwords, base64Of(":hidden"), "it is base64, but not of user:password"},
		{passwords, base64Of("jane:hidden\njoe:hidden"), "it is base64, but not of user:password"},
		{passwords, base64Of("jane:hidden\x01"), "it is base64, but not of user:password"},
	} {
		err := test.parse([]byte("# a comment\n" + test.line + "\n"))
		if want := "line 2: " + test.want; err == nil || err.Error() != want {
			t.Errorf("%q: error is\n\t%v\nwant\n\t%s", test.line, err, want)
		}
	}
}

// Comparing with a hash takes long; who is there must not be found out by not having to wait. See Dawdle.
func TestWhetherRefusingTookLongIsKnown(t *testing.T) {
	passwords, _, _, err := ParsePasswords(fmt.Appendf(nil, "cheap:%s\njane:%s\njoe:plain\n", hashed(t, "y"), hashed(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	passwords.matches = func([]byte, []byte) error { compared++; return bcrypt.ErrMismatchedHashAndPassword }
	for name, hashes := range map[string]bool{"jane": true, "joe": false, "nobody": false} {
		compared = 0
		_, err := passwords.Authenticate(t.Context(), name, "wrong")
		if !errors.Is(err, ErrRefused) || (compared == 1) != hashes || passwords.Hashes(name) != hashes {
			t.Errorf("%s: %v after %d comparisons, want to be refused after one: %t", name, err, compared, hashes)
		}
	}
	compared = 0
	if err := passwords.Dawdle(t.Context(), "wrong"); err != nil || compared != 1 {
		t.Errorf("dawdling makes %d comparisons, want one: %v", compared, err)
	}
	for range cap(passwords.comparing) {
		passwords.comparing <- struct{}{} // everybody who compares has to wait now
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := passwords.Authenticate(ctx, "jane", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that the client has gone", err)
	}
}

func TestAPasswordThatMatchedIsRememberedForAWhile(t *testing.T) {
	passwords, _, _, err := ParsePasswords(fmt.Appendf(nil, "jane:%s\n", hashed(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	clock := clocktesting.NewFakePassiveClock(start)
	passwords.clock = clock
	compared := 0
	passwords.matches = func(hash, password []byte) error {
		compared++
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	ask := func(password string, want bool, comparisons int) {
		t.Helper()
		_, err := passwords.Authenticate(t.Context(), "jane", password)
		if (err == nil) != want || compared != comparisons {
			t.Errorf("%s: error is %v after %d comparisons, want success %t after %d", password, err, compared, want, comparisons)
		}
	}
	ask("y", false, 1)
	ask("y", false, 2)
	ask("x", true, 3)
	ask("x", true, 3)
	ask("y", false, 4)
	ask("x", true, 4)
	clock.SetTime(start.Add(remembered))
	ask("x", true, 5)
}

const marker = "s3cr3t-marker"

// FuzzParseTokens checks that no content breaks the parser, that an accepted file lets in nobody with an empty token, and
// that nothing it says quotes a token.
func FuzzParseTokens(f *testing.F) {
	for _, seed := range []string{
		"t,u,1\n", "t,u,1,\"a,b\"", "t u", "# c\n\n", ",u,1", "t,u,1\nt,v,2", "\"t", "\uFEFFt u", marker + ",jane,1", marker + " u\n" + marker + " v", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		tokens, notices, err := ParseTokens([]byte(content))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") || strings.Contains(err.Error(), marker) {
				t.Errorf("error is %v", err)
			}
			return
		}
		for _, notice := range notices {
			if notice.Line < 1 || strings.Contains(notice.Text, marker) {
				t.Errorf("notice is %+v", notice)
			}
		}
		if who(t, tokens, "") != nil {
			t.Error("an empty token lets somebody in")
		}
		for _, token := range strings.FieldsFunc(content, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
			if info := who(t, tokens, token); info != nil && info.Name == "" {
				t.Errorf("%q lets in a user without a name", token)
			}
		}
	})
}

// FuzzParsePasswords checks that no content breaks the parser, that an accepted file lets in nobody without a password, and
// that nothing it says quotes a password.
func FuzzParsePasswords(f *testing.F) {
	for _, seed := range []string{
		"u:p\n", base64Of("u:p"), "u:" + hashed(f, "p"), "p,u,1,\"a,b\"", "u:p,a,b", "u:$apr1$x$y", "u:\nu:p", ":p", "u", marker + ",u,1",
		"u:" + marker, "u:" + marker + "\nu:other", base64Of("u:" + marker),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		passwords, plaintext, notices, err := ParsePasswords([]byte(content))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") || strings.Contains(err.Error(), marker) {
				t.Errorf("error is %v", err)
			}
			return
		}
		for _, notice := range notices {
			if notice.Line < 1 || strings.Contains(notice.Text, ":"+marker) {
				t.Errorf("notice is %+v", notice)
			}
		}
		if passwords.dearest != nil && cost(passwords.dearest) > bcrypt.MinCost {
			return // it would take too long
		}
		for _, name := range append(plaintext, "", "u") {
			if whoHas(t, passwords, name) != nil || whoHas(t, passwords, name+":") != nil {
				t.Errorf("%q is let in without a password", name)
			}
		}
	})
}
