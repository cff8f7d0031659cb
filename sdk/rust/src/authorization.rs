//! Authorizers: plugins that are asked whether a user may do something.

use crate::json::Json;
use crate::{field, pointer, texts, Result};

/// The role of an authorizer.
pub trait Authorization {
    /// Decides about one request. An error says that the plugin cannot: the request is denied unless the plugin's
    /// configuration says otherwise.
    fn authorize(&mut self, request: &Request) -> Result<Verdict>;
}

/// What somebody wants to do. Texts are empty where there is nothing.
pub struct Request(());

impl Request {
    /// The name of who asks.
    pub fn user(&self) -> String {
        text("user")
    }

    /// Tells the user from others who had the same name before.
    pub fn uid(&self) -> String {
        text("uid")
    }

    /// The groups of the user.
    pub fn groups(&self) -> Vec<String> {
        texts("/spec/groups")
    }

    /// What the authenticator said besides of the user.
    pub fn extra(&self, key: &str) -> Vec<String> {
        texts(&pointer(&["spec", "extra", key]))
    }

    /// Reports whether the request is for a resource, or else for a path.
    pub fn is_for_resource(&self) -> bool {
        field("/spec/resourceAttributes").exists()
    }

    /// What is to be done: get, list, create and so on.
    pub fn verb(&self) -> String {
        let verb = field("/spec/resourceAttributes/verb");
        if verb.exists() {
            return verb.into_text();
        }
        text("nonResourceAttributes/verb")
    }

    /// The path of a request that is not for a resource.
    pub fn path(&self) -> String {
        text("nonResourceAttributes/path")
    }

    /// The API group of the resource.
    pub fn group(&self) -> String {
        text("resourceAttributes/group")
    }

    /// The version of the resource.
    pub fn version(&self) -> String {
        text("resourceAttributes/version")
    }

    /// The resource: its plural name, such as pods.
    pub fn resource(&self) -> String {
        text("resourceAttributes/resource")
    }

    /// What follows the object's name in the path, such as status.
    pub fn subresource(&self) -> String {
        text("resourceAttributes/subresource")
    }

    /// Is empty for resources that live in none, and for requests for all of them.
    pub fn namespace(&self) -> String {
        text("resourceAttributes/namespace")
    }

    /// Is empty for requests that are not for one object.
    pub fn name(&self) -> String {
        text("resourceAttributes/name")
    }
}

fn text(member: &str) -> String {
    field(&["/spec/", member].concat()).into_text()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allow,
    Deny,
    NoOpinion,
}

/// Whether the user may. Its methods return it, so that calls can be strung together.
pub struct Verdict {
    decision: Decision,
    reason: String,
    error: String,
}

impl Verdict {
    fn new(decision: Decision) -> Verdict {
        Verdict { decision, reason: String::new(), error: String::new() }
    }

    /// The user may: nobody further is asked.
    pub fn allow() -> Verdict {
        Verdict::new(Decision::Allow)
    }

    /// The user may not: nobody further is asked.
    pub fn deny() -> Verdict {
        Verdict::new(Decision::Deny)
    }

    /// Others may decide. What nobody allows is refused.
    pub fn no_opinion() -> Verdict {
        Verdict::new(Decision::NoOpinion)
    }

    /// Says why.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Verdict {
        self.reason = reason.into();
        self
    }

    /// Says what went wrong while the plugin decided all the same.
    #[must_use]
    pub fn error(mut self, error: impl Into<String>) -> Verdict {
        self.error = error.into();
        self
    }
}

/// Answers the review at hand.
#[doc(hidden)]
pub fn answer<P: Authorization>(plugin: &mut P) -> Result<Json> {
    let verdict = plugin.authorize(&Request(()))?;
    let status = Json::object([
        ("allowed", (verdict.decision == Decision::Allow).into()),
        ("denied", (verdict.decision == Decision::Deny).into()),
        ("reason", verdict.reason.into()),
        ("evaluationError", verdict.error.into()),
    ]);
    Ok(Json::object([
        ("apiVersion", "authorization.k8s.io/v1".into()),
        ("kind", "SubjectAccessReview".into()),
        ("status", status),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::with_review, Value};

    struct Janes;

    impl Authorization for Janes {
        fn authorize(&mut self, request: &Request) -> Result<Verdict> {
            Ok(match (request.user().as_str(), request.verb().as_str()) {
                ("jane", "get") => Verdict::allow().reason("her own"),
                ("jane", _) => Verdict::deny(),
                _ => Verdict::no_opinion().error("who?"),
            })
        }
    }

    #[test]
    fn verdicts_are_statuses() {
        for (spec, want) in [
            (
                r#"{"user":"jane","resourceAttributes":{"verb":"get"}}"#,
                r#"{"allowed":true,"denied":false,"reason":"her own","evaluationError":""}"#,
            ),
            (
                r#"{"user":"jane","nonResourceAttributes":{"verb":"post"}}"#,
                r#"{"allowed":false,"denied":true,"reason":"","evaluationError":""}"#,
            ),
            ("{}", r#"{"allowed":false,"denied":false,"reason":"","evaluationError":"who?"}"#),
        ] {
            let answer = with_review(&format!(r#"{{"spec":{spec}}}"#), || answer(&mut Janes)).unwrap().to_string();
            assert_eq!(Value::parse(&answer).unwrap().at("/status").text(), want, "{spec}");
        }
    }
}
