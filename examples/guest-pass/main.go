// Command guest-pass is a gatehouse plugin: guests come in with a pass that ends by itself, and change nothing.
//
// A pass is a bearer token "pass.NAME.END.SIGNATURE": END in seconds since 1970, SIGNATURE the HMAC-SHA256 of "NAME.END" in
// hexadecimal digits.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/authentication"
	"gatehouse/sdk/go/authorization"
)

const guests = "guests"

// secret signs passes; it is a setting in guest-pass.yaml.
var secret []byte

func init() {
	gatehouse.OnConfigure(func([]byte) error {
		secret = []byte(gatehouse.Field("/secret").Text())
		if len(secret) < 16 {
			return errors.New("secret: must be a text of at least 16 characters")
		}
		return nil
	})
	authentication.Handle(admitGuest)
	authorization.Handle(onlyLook)
}

func admitGuest(r *authentication.Request) *authentication.Response {
	signed, isPass := strings.CutPrefix(r.Token(), "pass.")
	if !isPass {
		return authentication.NoOpinion()
	}
	dot := strings.LastIndexByte(signed, '.')
	if dot < 0 {
		return authentication.Reject("the pass has no signature")
	}
	pass, signature := signed[:dot], signed[dot+1:]
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(pass))
	if given, err := hex.DecodeString(signature); err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return authentication.Reject("the pass is not signed by this house")
	}
	name, end, _ := strings.Cut(pass, ".")
	until, err := strconv.ParseInt(end, 10, 64)
	if err != nil || name == "" {
		return authentication.Reject("the pass is malformed")
	}
	if !time.Now().Before(time.Unix(until, 0)) {
		return authentication.Reject("the pass has ended")
	}
	return authentication.Accept("guest:" + name).Groups(guests)
}

func onlyLook(r *authorization.Request) *authorization.Response {
	switch r.Verb() {
	case "get", "list", "watch":
		return authorization.NoOpinion() // roles say what a guest may see
	case "create":
		if r.Group() == "authentication.k8s.io" || r.Group() == "authorization.k8s.io" {
			return authorization.NoOpinion() // questions about oneself
		}
	}
	return authorization.Deny("guests may look, and nothing more")
}

func main() {}
