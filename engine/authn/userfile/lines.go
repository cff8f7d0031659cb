// Package userfile reads files that list users with a secret each, and knows who it is that has one: bearer tokens, and
// passwords for basic authentication. Of what it reads it keeps only digests, and nothing that it says quotes a secret.
package userfile

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"k8s.io/apiserver/pkg/authentication/user"

	"gatehouse/engine/files"
)

// Notice is something about a line that its owner should know, although the file can be used.
type Notice struct {
	// Line is counted from 1.
	Line int
	// Text says what is wrong and what was made of it.
	Text string
}

// eachLine calls read with the lines of a file that are neither empty nor comments. What read returns is an error about the
// line.
func eachLine(content []byte, read func(number int, line string) error) error {
	content = bytes.TrimPrefix(content, []byte("\uFEFF")) // what some editors begin a file with
	number := 0
	for line := range bytes.Lines(content) {
		number++
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 || bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			continue
		}
		if !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return files.AtLine(number, errors.New("it is no line of text"))
		}
		if err := read(number, string(line)); err != nil {
			return files.AtLine(number, err)
		}
	}
	return nil
}

// csvColumns splits a line of the form secret,user,uid,"group1,group2".
func csvColumns(line, secret string) (*user.DefaultInfo, string, error) {
	reader := csv.NewReader(strings.NewReader(line))
	reader.FieldsPerRecord = -1
	columns, err := reader.Read()
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return nil, "", fmt.Errorf("its quotes are wrong at column %d: %w", bad.Column, bad.Err)
	} else if err != nil {
		return nil, "", errors.New("it cannot be split into columns")
	}
	if len(columns) < 3 || len(columns) > 4 {
		return nil, "", fmt.Errorf(`it has %d columns, want %s,user,uid or %s,user,uid,"group1,group2"`, len(columns), secret, secret)
	}
	info := &user.DefaultInfo{Name: strings.TrimSpace(columns[1]), UID: strings.TrimSpace(columns[2])}
	if len(columns) == 4 {
		for group := range strings.SplitSeq(columns[3], ",") {
			if group = strings.TrimSpace(group); group != "" {
				info.Groups = append(info.Groups, group)
			}
		}
	}
	if info.Name == "" {
		return nil, "", errors.New("it names no user")
	}
	return info, columns[0], nil
}

// digester makes digests that are of no use outside of this process, so that secrets are compared in a time that tells
// nothing about them.
type digester [sha256.Size]byte

type digest [sha256.Size]byte

func newDigester() digester {
	var key digester
	_, _ = rand.Read(key[:]) // it never fails
	return key
}

func (k *digester) of(secret string) (sum digest) {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(secret))
	mac.Sum(sum[:0])
	return sum
}
