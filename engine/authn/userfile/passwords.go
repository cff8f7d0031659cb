package userfile

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"
)

const (
	// maxCost is the highest cost of a bcrypt hash that is accepted: comparing takes seconds already.
	maxCost = 16
	// remembered is for how long a password that matched its hash need not be compared again, which takes tens of
	// milliseconds. Until then it is kept as a digest, with a key that never leaves this process.
	remembered = time.Minute
)

// Passwords are the users of a file and their passwords. They do not change, and can be used concurrently.
type Passwords struct {
	key      digester
	accounts map[string]*account
	// dearest is the hash that takes longest to compare with, if there is one. See Dawdle.
	dearest []byte
	// comparing bounds how many hashes are compared at once; each keeps a core busy.
	comparing chan struct{}
	// matches is bcrypt's comparison.
	matches func(hash, password []byte) error
	clock   clock.PassiveClock
}

// account is one user. It has a hash or a digest of the password.
type account struct {
	info   *user.DefaultInfo
	hash   []byte
	digest digest
	line   int
	// refused is set when the file does not say unambiguously who this is.
	refused bool
	// matched is the password that last matched the hash.
	matched atomic.Pointer[match]
}

// match is a digest of a password that matched, and until when that need not be found out again.
type match struct {
	digest digest
	until  time.Time
}

// ErrRefused says no more than kube-apiserver did: whether it is the user or the password is nobody's business.
var ErrRefused = errors.New("invalid username/password combination")

// ParsePasswords reads a file with a user on each line, in any of these forms:
//
//	user:password
//	user:$2y$10$...                        a bcrypt hash, as `htpasswd -B` makes them
//	dXNlcjpwYXNzd29yZA==                   base64 of one of the above
//	password,user,uid,"group1,group2"      with or without groups, as kube-apiserver knew them
//
// Lines that are empty or begin with # are passed over. What could be of two forms is an error. An empty password, and a user
// on two lines that do not say the same, let nobody in, which a notice says. Plaintext names the users whose password can be
// read in the file.
func ParsePasswords(content []byte) (p *Passwords, plaintext []string, notices []Notice, err error) {
	p = &Passwords{key: newDigester(), accounts: map[string]*account{}, matches: bcrypt.CompareHashAndPassword,
		clock: clock.RealClock{}, comparing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	err = eachLine(content, func(number int, line string) error {
		info, secret, err := passwordLine(line)
		if err != nil {
			return err
		}
		read, err := p.read(number, info, secret)
		if err != nil {
			return err
		}
		if notice := p.add(read, secret); notice != "" {
			notices = append(notices, Notice{number, notice})
		} else if read.hash == nil {
			plaintext = append(plaintext, info.Name)
		}
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return p, plaintext, notices, nil
}

// passwordLine tells the forms apart by what comes first, a colon or a comma. Quotes begin columns.
func passwordLine(line string) (*user.DefaultInfo, string, error) {
	colon, comma := strings.IndexByte(line, ':'), strings.IndexByte(line, ',')
	switch {
	case strings.HasPrefix(line, `"`) || comma >= 0 && (colon < 0 || comma < colon):
		return csvColumns(line, "password")
	case colon < 0:
		return encodedLine(line)
	case strings.Count(line, ",") >= 2:
		return nil, "", errors.New("it could be user:password or password,user,uid; quote the password if it is the latter, " +
			"encode the line in base64 if it is the former")
	default:
		return colonLine(line)
	}
}

func colonLine(line string) (*user.DefaultInfo, string, error) {
	name, secret, _ := strings.Cut(line, ":")
	switch {
	case name == "":
		return nil, "", errors.New("it names no user")
	case strings.TrimSpace(name) != name:
		return nil, "", errors.New("there are blanks around the user's name")
	}
	return &user.DefaultInfo{Name: name}, secret, nil
}

func encodedLine(line string) (*user.DefaultInfo, string, error) {
	line = strings.TrimRight(strings.TrimSpace(line), "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		decoded, err := encoding.DecodeString(line)
		if err != nil || !bytes.Contains(decoded, []byte(":")) {
			continue
		}
		var info *user.DefaultInfo
		var secret string
		lines := 0
		if err := eachLine(decoded, func(_ int, text string) (err error) {
			lines++
			info, secret, err = colonLine(text)
			return err
		}); err != nil || lines != 1 {
			return nil, "", errors.New("it is base64, but not of user:password")
		}
		return info, secret, nil
	}
	return nil, "", errors.New(`it is neither user:password, nor base64 of that, nor password,user,uid,"group1,group2"`)
}

// otherHash recognises hashes that are not bcrypt's. Taken for passwords, whoever sees the hash could come in.
var otherHash = regexp.MustCompile(`^(\$[a-z0-9-]+\$|\{[A-Z0-9-]+\})`)

// read makes an account of a line.
func (p *Passwords) read(line int, info *user.DefaultInfo, secret string) (*account, error) {
	a := &account{info: info, line: line}
	switch {
	case strings.HasPrefix(secret, "$2"):
		cost, err := bcrypt.Cost([]byte(secret))
		if err != nil {
			return nil, errors.New("it begins like a bcrypt hash, but is none")
		}
		if cost > maxCost {
			return nil, fmt.Errorf("its bcrypt hash has cost %d, want at most %d: each attempt would take too long", cost, maxCost)
		}
		a.hash = []byte(secret)
	case otherHash.MatchString(secret):
		return nil, errors.New("it has a hash that is not bcrypt's; make one with `htpasswd -B`")
	default:
		a.digest = p.key.of(secret)
	}
	return a, nil
}

// add takes an account, and says if it is not used as it stands there.
func (p *Passwords) add(a *account, secret string) (notice string) {
	if secret == "" {
		return fmt.Sprintf("the password of %s is empty; nobody is let in by it", a.info.Name)
	}
	first, known := p.accounts[a.info.Name]
	switch {
	case known && sameUser(first.info, a.info) && bytes.Equal(first.hash, a.hash) && first.digest == a.digest && !first.refused:
		return "it repeats an earlier line"
	case known:
		first.refused = true
		return fmt.Sprintf("%s stands on line %d as well; with neither line is anybody let in", a.info.Name, first.line)
	}
	p.accounts[a.info.Name] = a
	if a.hash != nil && (p.dearest == nil || cost(a.hash) > cost(p.dearest)) {
		p.dearest = a.hash
	}
	return ""
}

func cost(hash []byte) int {
	c, err := bcrypt.Cost(hash)
	if err != nil {
		return 0
	}
	return c
}

// Knows says whether the file names a user.
func (p *Passwords) Knows(name string) bool {
	_, known := p.accounts[name]
	return known
}

// Hashes says whether the file names a user with a hash, so that to refuse him takes long.
func (p *Passwords) Hashes(name string) bool {
	a, known := p.accounts[name]
	return known && a.hash != nil
}

// Authenticate says who it is that has a name and a password. If the file has a hash for the user it takes as long as the hash
// is dear, but for passwords that matched a short time ago, and waits for its turn when many ask at once.
func (p *Passwords) Authenticate(ctx context.Context, name, password string) (*authenticator.Response, error) {
	a, known := p.accounts[name]
	if !known {
		p.key.of(password) // it takes as long as if there were somebody
		return nil, ErrRefused
	}
	var matches bool
	if a.hash == nil {
		sum := p.key.of(password)
		matches = subtle.ConstantTimeCompare(sum[:], a.digest[:]) == 1
	} else {
		var err error
		if matches, err = p.matchesHash(ctx, a, password); err != nil {
			return nil, err
		}
	}
	if !matches || a.refused || password == "" {
		return nil, ErrRefused
	}
	return &authenticator.Response{User: a.info}, nil
}

// Cost is that of the dearest hash in the file, 0 if there is none.
func (p *Passwords) Cost() int {
	if p.dearest == nil {
		return 0
	}
	return cost(p.dearest)
}

// Dawdle takes as long as to refuse the user with the dearest hash. It is for users that were refused without looking at a
// hash, as those that do not exist are, so that nobody finds out who does by how long it takes.
func (p *Passwords) Dawdle(ctx context.Context, password string) error {
	if p.dearest == nil {
		return nil
	}
	_, err := p.compare(ctx, p.dearest, password)
	return err
}

func (p *Passwords) matchesHash(ctx context.Context, a *account, password string) (bool, error) {
	sum, now := p.key.of(password), p.clock.Now()
	if last := a.matched.Load(); last != nil && now.Before(last.until) && subtle.ConstantTimeCompare(sum[:], last.digest[:]) == 1 {
		return true, nil
	}
	matches, err := p.compare(ctx, a.hash, password)
	if matches {
		a.matched.Store(&match{sum, now.Add(remembered)})
	}
	return matches, err
}

// compare finds out whether a password is that of a hash, unless nobody waits for that any more.
func (p *Passwords) compare(ctx context.Context, hash []byte, password string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	select {
	case p.comparing <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-p.comparing }()
	return p.matches(hash, []byte(password)) == nil, nil
}
