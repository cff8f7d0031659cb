package authn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"

	"gatehouse/engine/authn/userfile"
	"gatehouse/engine/files"
)

// othersMask are the bits of a mode that let others than the owner read or write.
const othersMask fs.FileMode = 0o066

// warnReadable says of a file with secrets if others can get at them. It may have to be so, in a container say.
func warnReadable(path string, logger *slog.Logger) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&othersMask != 0 {
		logger.Warn("a file with credentials is open to other users of this machine", "file", path,
			"mode", fmt.Sprintf("%#o", info.Mode().Perm()), "fix", "chmod 600 "+path)
	}
}

func warnNotices(path string, notices []userfile.Notice, logger *slog.Logger) {
	for _, notice := range notices {
		logger.Warn("a line of a file with credentials is not used as it stands", "at", fmt.Sprintf("%s:%d", path, notice.Line),
			"reason", notice.Text)
	}
}

// TokenFiles lets in who has a token that stands in one of the files; see userfile.ParseTokens for what is in them. The
// tokens are good for the audiences.
func TokenFiles(set *files.Set, paths []string, audiences authenticator.Audiences, logger *slog.Logger) (Member, error) {
	var lists []authenticator.Token
	var opened []*files.File[*userfile.Tokens]
	for _, path := range paths {
		warnReadable(path, logger)
		file, err := files.Open(set, path, func(content []byte) (*userfile.Tokens, error) {
			tokens, notices, err := userfile.ParseTokens(content)
			warnNotices(path, notices, logger)
			return tokens, err
		})
		if err != nil {
			return Member{}, fmt.Errorf("read tokens: %w", err)
		}
		opened = append(opened, file)
		lists = append(lists, authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
			return file.Get().AuthenticateToken(ctx, token)
		}))
	}
	return Member{
		token: authenticator.WrapAudienceAgnosticToken(audiences, tokenunion.NewFailOnError(lists...)),
		onChange: func(forget func()) {
			for _, file := range opened {
				file.OnChange(forget)
			}
		},
	}, nil
}

// passwords is basic authentication.
type passwords struct {
	files []*files.File[*userfile.Passwords]
}

var errMalformedBasic = errors.New("the basic credentials are malformed")

// PasswordFiles lets in who has the name and password of a user in one of the files; see userfile.ParsePasswords for what is
// in them. The first file that knows a user and agrees decides.
func PasswordFiles(set *files.Set, paths []string, logger *slog.Logger) (Member, error) {
	members := &passwords{}
	for _, path := range paths {
		warnReadable(path, logger)
		file, err := files.Open(set, path, func(content []byte) (*userfile.Passwords, error) {
			read, plaintext, notices, err := userfile.ParsePasswords(content)
			warnNotices(path, notices, logger)
			if len(plaintext) > 0 {
				logger.Warn("passwords can be read in a file; replace them by the hashes that `htpasswd -nB USER` prints",
					"file", path, "users", plaintext)
			}
			return read, err
		})
		if err != nil {
			return Member{}, fmt.Errorf("read passwords: %w", err)
		}
		members.files = append(members.files, file)
	}
	return Member{request: members, guessable: true}, nil
}

// AuthenticateRequest implements authenticator.Request.
func (p *passwords) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	scheme, _, _ := strings.Cut(strings.TrimSpace(r.Header.Get(authorizationHeader)), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return nil, false, nil
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return nil, false, errMalformedBasic
	}
	response, err := p.authenticate(r.Context(), name, password)
	return response, err == nil, err
}

// authenticate asks the files that know a user. To refuse one takes as long as comparing with a hash if any file has one, whoever
// it is: nobody shall find out who there is.
func (p *passwords) authenticate(ctx context.Context, name, password string) (*authenticator.Response, error) {
	compared := false
	var dearest *userfile.Passwords
	for _, file := range p.files {
		users := file.Get()
		if dearest == nil || users.Cost() > dearest.Cost() {
			dearest = users
		}
		if !users.Knows(name) {
			continue
		}
		response, refusal := users.Authenticate(ctx, name, password)
		if !errors.Is(refusal, userfile.ErrRefused) { // let in, or gone
			return response, refusal
		}
		compared = compared || users.Hashes(name)
	}
	if !compared && dearest != nil {
		if interrupted := dearest.Dawdle(ctx, password); interrupted != nil {
			return nil, interrupted
		}
	}
	return nil, userfile.ErrRefused
}
