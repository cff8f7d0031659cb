package userfile

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Tokens are the bearer tokens of a file. They do not change, and can be used concurrently.
type Tokens struct {
	key   digester
	known map[digest]*listedToken
}

// listedToken is whose token it is, and on which line that stands. Info is nil for one that two lines claim.
type listedToken struct {
	digest digest
	info   *user.DefaultInfo
	line   int
}

var _ authenticator.Token = (*Tokens)(nil)

// ParseTokens reads a file with a token on each line, as kube-apiserver knows them,
//
//	token,user,uid,"group1,group2"
//
// with or without groups, or shorter, token and user with blanks between. Lines that are empty or begin with # are passed
// over. A token that is empty, or that two lines give to different users, lets nobody in, which a notice says.
func ParseTokens(content []byte) (*Tokens, []Notice, error) {
	t := &Tokens{key: newDigester(), known: map[digest]*listedToken{}}
	var notices []Notice
	err := eachLine(content, func(number int, line string) error {
		info, token, err := tokenLine(line)
		if err != nil {
			return err
		}
		if notice := t.add(number, token, info); notice != "" {
			notices = append(notices, Notice{number, notice})
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return t, notices, nil
}

// tokenLine splits a line. One with a comma is in columns: neither user names nor tokens have commas in the short form.
func tokenLine(line string) (*user.DefaultInfo, string, error) {
	if strings.Contains(line, ",") {
		return csvColumns(line, "token")
	}
	words := strings.Fields(line)
	if len(words) != 2 {
		return nil, "", errors.New(`it is neither token,user,uid,"group1,group2" nor token and user with a blank between`)
	}
	return &user.DefaultInfo{Name: words[1]}, words[0], nil
}

// add takes a line, and says if it is not used as it stands there.
func (t *Tokens) add(line int, token string, info *user.DefaultInfo) (notice string) {
	token = strings.TrimSpace(token)
	if token == "" {
		return "its token is empty; nobody is let in by it"
	}
	sum := t.key.of(token)
	first, known := t.known[sum]
	switch {
	case !known:
		t.known[sum] = &listedToken{sum, info, line}
		return ""
	case first.info != nil && sameUser(first.info, info):
		return "it repeats an earlier line"
	default:
		first.info = nil
		return "its token stands on an earlier line as well, for another user; neither is let in by it"
	}
}

func sameUser(a, b *user.DefaultInfo) bool {
	return a.Name == b.Name && a.UID == b.UID && slices.Equal(a.Groups, b.Groups)
}

// AuthenticateToken implements authenticator.Token. Tokens are compared by their digests.
func (t *Tokens) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	sum := t.key.of(token)
	listed, ok := t.known[sum]
	if !ok || subtle.ConstantTimeCompare(listed.digest[:], sum[:]) != 1 {
		return nil, false, nil
	}
	if listed.info == nil {
		return nil, false, errors.New("the token stands on several lines for different users")
	}
	return &authenticator.Response{User: listed.info}, true, nil
}
