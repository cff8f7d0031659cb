//! Authenticators: plugins that are asked who sent a request.

use crate::json::Json;
use crate::{field, pointer, texts, Result};

/// The role of an authenticator.
pub trait Authentication {
    /// Says who sent a request. An error says that the plugin cannot tell, though it should.
    fn authenticate(&mut self, request: &Request) -> Result<Verdict>;
}

/// What is known of a request: a bearer token, or all else that may tell who sent it. Texts are empty where there is nothing.
pub struct Request(());

impl Request {
    /// The bearer token, if it is about one.
    pub fn token(&self) -> Option<String> {
        Some(text("token")).filter(|token| !token.is_empty())
    }

    /// The HTTP method.
    pub fn method(&self) -> String {
        text("method")
    }

    /// The path.
    pub fn path(&self) -> String {
        text("path")
    }

    /// What follows the ? of the path, when the plugin's configuration asks for it.
    pub fn query(&self) -> String {
        text("query")
    }

    /// The host that the client meant.
    pub fn host(&self) -> String {
        text("host")
    }

    /// The peer's address and port, which may be a proxy's.
    pub fn remote_address(&self) -> String {
        text("remoteAddress")
    }

    /// All values of a header that the plugin's configuration names. The name is canonical: `X-Api-Key`.
    pub fn header(&self, name: &str) -> Vec<String> {
        texts(&pointer(&["spec", "headers", name]))
    }

    /// The client's certificate and those that it sent to prove it, each as base64 of DER. Nobody has verified them.
    pub fn client_certificates(&self) -> Vec<String> {
        texts("/spec/clientCertificates")
    }

    /// Whom credentials should be good for.
    pub fn audiences(&self) -> Vec<String> {
        texts("/spec/audiences")
    }
}

fn text(member: &str) -> String {
    field(&["/spec/", member].concat()).into_text()
}

/// Who sent a request.
pub enum Verdict {
    /// These are not credentials of the plugin's kind.
    NoOpinion,
    /// They are, and they are good: the request is of this user.
    Accept(User),
    /// They are, and they are wrong; the text says why.
    Refuse(String),
}

/// A user. Its methods return it, so that calls can be strung together.
#[derive(Clone, Debug, Default)]
pub struct User {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: Vec<(String, Vec<String>)>,
    audiences: Vec<String>,
}

impl User {
    /// A user of this name, which must not be empty.
    pub fn new(name: impl Into<String>) -> User {
        User { name: name.into(), ..User::default() }
    }

    /// Tells the user from others who had the same name before.
    #[must_use]
    pub fn uid(mut self, uid: impl Into<String>) -> User {
        self.uid = uid.into();
        self
    }

    /// Puts the user in a group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> User {
        self.groups.push(group.into());
        self
    }

    /// Says more of the user, for authorizers.
    #[must_use]
    pub fn extra(mut self, key: &str, values: Vec<String>) -> User {
        self.extra.push((key.to_owned(), values));
        self
    }

    /// Says that the credentials are good for an audience, one of those that were asked for. Without they are good for the
    /// server.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> User {
        self.audiences.push(audience.into());
        self
    }
}

fn status(verdict: Verdict) -> Json {
    let user = match verdict {
        Verdict::NoOpinion => return Json::object([("authenticated", false.into())]),
        Verdict::Refuse(why) => return Json::object([("authenticated", false.into()), ("error", why.into())]),
        Verdict::Accept(user) => user,
    };
    let extra = user.extra.into_iter().map(|(key, values)| (key, values.into())).collect();
    Json::object([
        ("authenticated", true.into()),
        (
            "user",
            Json::object([
                ("username", user.name.into()),
                ("uid", user.uid.into()),
                ("groups", user.groups.into()),
                ("extra", Json::Object(extra)),
            ]),
        ),
        ("audiences", user.audiences.into()),
    ])
}

/// Answers the review at hand.
#[doc(hidden)]
pub fn answer<P: Authentication>(plugin: &mut P) -> Result<Json> {
    let verdict = plugin.authenticate(&Request(()))?;
    let (version, kind) = (field("/apiVersion").into_text(), field("/kind").into_text());
    Ok(Json::object([("apiVersion", version.into()), ("kind", kind.into()), ("status", status(verdict))]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::with_review, Value};

    struct Keys;

    impl Authentication for Keys {
        fn authenticate(&mut self, request: &Request) -> Result<Verdict> {
            Ok(match request.header("X-Api-Key").as_slice() {
                [] => Verdict::NoOpinion,
                [key] if key == "right" => {
                    Verdict::Accept(User::new("jane").uid("1").group("devs").extra("a/b", vec!["c".into()]).audience("x"))
                }
                [_] => Verdict::Refuse("wrong".to_owned()),
                _ => return Err("two keys".into()),
            })
        }
    }

    fn status_of(headers: &str) -> Result<Value> {
        let review = format!(r#"{{"apiVersion":"gatehouse.dev/v1","kind":"RequestReview","spec":{{"headers":{headers}}}}}"#);
        let answer = Value::parse(&with_review(&review, || answer(&mut Keys))?.to_string()).unwrap();
        assert_eq!(answer.at("/apiVersion").text(), "gatehouse.dev/v1");
        assert_eq!(answer.at("/kind").text(), "RequestReview");
        Ok(answer.at("/status"))
    }

    #[test]
    fn verdicts_are_statuses() {
        let jane = r#"{"username":"jane","uid":"1","groups":["devs"],"extra":{"a/b":["c"]}}"#;
        for (headers, want) in [
            ("{}", r#"{"authenticated":false}"#.to_owned()),
            (r#"{"X-Api-Key":["other"]}"#, r#"{"authenticated":false,"error":"wrong"}"#.to_owned()),
            (r#"{"X-Api-Key":["right"]}"#, format!(r#"{{"authenticated":true,"user":{jane},"audiences":["x"]}}"#)),
        ] {
            assert_eq!(status_of(headers).unwrap().text(), want, "{headers}");
        }
        assert_eq!(status_of(r#"{"X-Api-Key":["a","b"]}"#).unwrap_err().to_string(), "two keys");
    }
}
