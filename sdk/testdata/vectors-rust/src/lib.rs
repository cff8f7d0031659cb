//! The vector guest of sdk/vectors, in Rust.

use gatehouse::admission::{self, Admission, Response};
use gatehouse::authentication::{self, Authentication, User};
use gatehouse::authorization::{self, Authorization};
use gatehouse::{Kind, Level, Plugin, Result, Value};

const OUT_OF_DATE: &str = "the list is out of date: \"ü\"";

struct Vectors {
    prefix: String,
}

impl Plugin for Vectors {
    fn configure(settings: Value) -> Result<Self> {
        if let Some((key, _)) = settings.members().iter().find(|(key, _)| key != "prefix") {
            return Err(format!("unknown setting: {key}").into());
        }
        let prefix = settings.at("/prefix");
        if prefix.exists() && prefix.string().is_none() {
            return Err("prefix: is no text".into());
        }
        assert_eq!(prefix, gatehouse::field("/prefix"), "the host and the settings agree");
        Ok(Vectors { prefix: prefix.into_text() })
    }
}

impl Admission for Vectors {
    fn admit(&mut self, request: &admission::Request) -> Result<Response> {
        let data = |name: &str| request.object(&format!("/data/{name}")).into_text();
        let allow = Response::allow();
        Ok(match request.name().as_str() {
            "allow" => allow,
            "deny" => Response::deny("no"),
            "deny-status" => Response::deny_with(422, "Invalid", data("message")),
            "warn" => allow.warn("first").warn(data("warning")),
            "audit" => allow.audit("decision", "allowed").audit("text", data("text")),
            "label" => allow.set_label(request, "example.com/owner", &data("owner")),
            "labels" => allow
                .set_label(request, "example.com/owner", &data("owner"))
                .set_label(request, "example.com/team", &data("owner"))
                .set_annotation(request, "example.com/~note", &data("owner")),
            "annotation" => allow.set_annotation(request, "example.com/~note", &data("owner")),
            "patch" => allow.replace("/data/replaced", 3).remove("/data/removed").add("/data/added~1a~0b", data("text")),
            "fields" => fields(request),
            "malformed" => allow.warn(gatehouse::field("no slash").into_text()),
            "describe" => describe(request),
            "settings" => allow.warn(self.prefix.as_str()),
            "echo" => allow.warn(String::from_utf8(gatehouse::call("vectors.echo", data("text").as_bytes())?)?),
            "unknown-call" => match gatehouse::call("vectors.none", b"x") {
                Ok(_) => Response::deny("there is such a call"),
                Err(why) => allow.warn(why.to_string()),
            },
            "log" => {
                gatehouse::log(Level::Debug, "debug ü");
                gatehouse::log(Level::Info, "info");
                gatehouse::log(Level::Warning, "warning");
                gatehouse::log(Level::Error, "error");
                allow
            }
            "cannot" => return Err(OUT_OF_DATE.into()),
            "trap" => panic!("as it was told"),
            word => return Err(format!("unknown vector: {word}").into()),
        })
    }
}

fn fields(request: &admission::Request) -> Response {
    let pointers = (0..).map(|i| request.object(&format!("/pointers/{i}"))).take_while(Value::exists);
    pointers.map(|p| gatehouse::field(p.text())).fold(Response::allow(), |response, value| {
        let kind = match value.kind() {
            Kind::Absent => return response.warn("absent"),
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        };
        response.warn(format!("{kind} {}", value.text()))
    })
}

fn describe(r: &admission::Request) -> Response {
    let facts = [
        r.operation(),
        r.group(),
        r.version(),
        r.kind(),
        r.resource(),
        r.subresource(),
        r.name(),
        r.namespace(),
        r.user(),
        r.dry_run().to_string(),
    ];
    facts.into_iter().fold(Response::allow(), Response::warn)
}

impl Authentication for Vectors {
    fn authenticate(&mut self, request: &authentication::Request) -> Result<authentication::Verdict> {
        use authentication::Verdict::*;
        let values = request.header("X-Vector");
        let word = request.token().or_else(|| values.first().cloned()).unwrap_or_default();
        let jane = User::new("jane");
        Ok(match word.as_str() {
            "accept" => {
                let teams = vec!["a".to_owned(), "b".to_owned()];
                Accept(jane.uid("u-1").group("devs").group("größe \"x\"").extra("example.com/team", teams))
            }
            "plain" => Accept(jane),
            "audience" => Accept(jane.audience(request.audiences().swap_remove(0))),
            "none" => NoOpinion,
            "wrong" => Refuse("the key has expired".to_owned()),
            "describe" => {
                let facts = [request.path(), request.query(), request.host(), request.remote_address()];
                let groups = facts.into_iter().chain(values).chain(request.client_certificates());
                Accept(groups.fold(User::new(request.method()), User::group))
            }
            "cannot" => return Err(OUT_OF_DATE.into()),
            "trap" => panic!("as it was told"),
            word => return Err(format!("unknown vector: {word}").into()),
        })
    }
}

impl Authorization for Vectors {
    fn authorize(&mut self, request: &authorization::Request) -> Result<authorization::Verdict> {
        use authorization::Verdict;
        Ok(match request.user().as_str() {
            "allow" => Verdict::allow().reason("because: \"ü\""),
            "deny" => Verdict::deny().reason("because: \"ü\""),
            "none" => Verdict::no_opinion(),
            "none-reason" => Verdict::no_opinion().reason("not mine"),
            "error" => Verdict::no_opinion().error("half of it is unknown"),
            "describe" => Verdict::deny().reason(facts(request).join(",")),
            "cannot" => return Err(OUT_OF_DATE.into()),
            "trap" => panic!("as it was told"),
            word => return Err(format!("unknown vector: {word}").into()),
        })
    }
}

fn facts(r: &authorization::Request) -> Vec<String> {
    let mut facts = vec![r.verb(), r.group(), r.version(), r.resource(), r.subresource(), r.namespace(), r.name(), r.path()];
    facts.extend(r.groups());
    facts
}

gatehouse::export!(Vectors: Admission, Authentication, Authorization);
