//! Admission controllers: plugins that are asked about writes, and allow, change or deny them.

use crate::json::Json;
use crate::{field, pointer, Kind, Result, Value};

/// The role of an admission controller.
pub trait Admission {
    /// Decides about one request. An error says that the plugin cannot: the request is denied unless the plugin's
    /// configuration says otherwise.
    fn admit(&mut self, request: &Request) -> Result<Response>;
}

/// The review at hand. Its methods ask the server, which has the review decoded; nothing is parsed here. Texts are empty where
/// there is nothing.
pub struct Request(());

impl Request {
    /// Is CREATE, UPDATE, DELETE or CONNECT.
    pub fn operation(&self) -> String {
        text("operation")
    }

    /// The object's kind, such as Pod; group and version say which.
    pub fn kind(&self) -> String {
        text("kind/kind")
    }

    /// The API group of the kind.
    pub fn group(&self) -> String {
        text("kind/group")
    }

    /// The version of the kind.
    pub fn version(&self) -> String {
        text("kind/version")
    }

    /// The plural name in the path, such as pods.
    pub fn resource(&self) -> String {
        text("resource/resource")
    }

    /// What follows the object's name in the path, such as status; it is mostly empty.
    pub fn subresource(&self) -> String {
        text("subResource")
    }

    /// May be empty when an object is created whose name the server is to make up.
    pub fn name(&self) -> String {
        text("name")
    }

    /// Is empty for objects that live in none.
    pub fn namespace(&self) -> String {
        text("namespace")
    }

    /// The name of who asks.
    pub fn user(&self) -> String {
        text("userInfo/username")
    }

    /// Reports whether nothing will be stored.
    pub fn dry_run(&self) -> bool {
        field("/request/dryRun").is_true()
    }

    /// Looks up a JSON pointer in the object: `/spec/containers/0/image`. There is no object when one is deleted.
    pub fn object(&self, pointer: &str) -> Value {
        field(&["/request/object", pointer].concat())
    }

    /// Looks up a pointer in the object as it is stored, when it is updated or deleted.
    pub fn old_object(&self, pointer: &str) -> Value {
        field(&["/request/oldObject", pointer].concat())
    }

    /// The whole AdmissionReview (admission.k8s.io/v1) as JSON, for those who want to parse it. The server makes it when it is asked
    /// for, which costs it more than all else of a call.
    pub fn review(&self) -> String {
        field("").into_text()
    }
}

fn text(member: &str) -> String {
    field(&["/request/", member].concat()).into_text()
}

/// A verdict. Its methods return it, so that calls can be strung together.
#[derive(Default)]
pub struct Response {
    denial: Option<Denial>,
    warnings: Vec<Json>,
    annotations: Vec<(String, Json)>,
    patch: Vec<Json>,
    /// The maps of the object's metadata that the patch has made.
    made: Vec<&'static str>,
}

struct Denial {
    code: i64,
    reason: String,
    message: String,
}

impl Response {
    /// Lets the request pass.
    pub fn allow() -> Response {
        Response::default()
    }

    /// Refuses the request with 403 Forbidden; the client sees the message after the plugin's name.
    pub fn deny(message: impl Into<String>) -> Response {
        Response::deny_with(403, "Forbidden", message)
    }

    /// Refuses the request with another HTTP status and its reason, such as 422 and Invalid.
    pub fn deny_with(code: u16, reason: &str, message: impl Into<String>) -> Response {
        let denial = Denial { code: code.into(), reason: reason.to_owned(), message: message.into() };
        Response { denial: Some(denial), ..Response::default() }
    }

    /// Adds a warning that the client shows its user.
    #[must_use]
    pub fn warn(mut self, message: impl Into<String>) -> Response {
        self.warnings.push(Json::String(message.into()));
        self
    }

    /// Adds an annotation to the request's audit event; the server puts the plugin's name before the key.
    #[must_use]
    pub fn audit(mut self, key: &str, value: impl Into<String>) -> Response {
        self.annotations.push((key.to_owned(), Json::String(value.into())));
        self
    }

    /// Patches the object: adds a value at a JSON pointer within it, or replaces what is there.
    #[must_use]
    pub fn add(self, pointer: &str, value: impl Into<Json>) -> Response {
        self.operation("add", pointer, Some(value.into()))
    }

    /// Patches the object: replaces what is at a pointer, where something must be.
    #[must_use]
    pub fn replace(self, pointer: &str, value: impl Into<Json>) -> Response {
        self.operation("replace", pointer, Some(value.into()))
    }

    /// Patches the object: removes what is at a pointer, where something must be.
    #[must_use]
    pub fn remove(self, pointer: &str) -> Response {
        self.operation("remove", pointer, None)
    }

    fn operation(mut self, op: &str, path: &str, value: Option<Json>) -> Response {
        let mut operation = vec![("op".to_owned(), op.into()), ("path".to_owned(), path.into())];
        operation.extend(value.map(|v| ("value".to_owned(), v)));
        self.patch.push(Json::Object(operation));
        self
    }

    /// Patches a label of the object, unless it has that value already.
    #[must_use]
    pub fn set_label(self, request: &Request, key: &str, value: &str) -> Response {
        self.set_in(request, "labels", key, value)
    }

    /// Patches an annotation of the object, unless it has that value already.
    #[must_use]
    pub fn set_annotation(self, request: &Request, key: &str, value: &str) -> Response {
        self.set_in(request, "annotations", key, value)
    }

    fn set_in(mut self, request: &Request, map: &'static str, key: &str, value: &str) -> Response {
        let path = pointer(&["metadata", map, key]);
        if request.object(&path).string() == Some(value) {
            return self;
        }
        let parent = pointer(&["metadata", map]);
        if !self.made.contains(&map) && request.object(&parent).kind() != Kind::Object {
            self = self.add(&parent, Json::object([]));
        }
        self.made.push(map);
        self.add(&path, value)
    }

    fn json(self, uid: String) -> Json {
        let mut response = vec![("uid".to_owned(), uid.into()), ("allowed".to_owned(), self.denial.is_none().into())];
        let mut add = |key: &str, value| response.push((key.to_owned(), value));
        if let Some(denial) = self.denial {
            let Denial { code, reason, message } = denial;
            add("status", Json::object([("code", code.into()), ("reason", reason.into()), ("message", message.into())]));
        }
        if !self.patch.is_empty() {
            add("patchType", "JSONPatch".into());
            add("patch", base64(Json::Array(self.patch).text().as_bytes()).into());
        }
        if !self.warnings.is_empty() {
            add("warnings", Json::Array(self.warnings));
        }
        if !self.annotations.is_empty() {
            add("auditAnnotations", Json::Object(self.annotations));
        }
        Json::Object(response)
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32, i: usize| DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
    let mut text = Vec::with_capacity(bytes.len() / 3 * 4 + 4);
    let mut threes = bytes.chunks_exact(3);
    for three in &mut threes {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        text.extend_from_slice(&[digit(bits, 0), digit(bits, 1), digit(bits, 2), digit(bits, 3)]);
    }
    match *threes.remainder() {
        [one] => {
            let bits = u32::from(one) << 16;
            text.extend_from_slice(&[digit(bits, 0), digit(bits, 1), b'=', b'=']);
        }
        [one, two] => {
            let bits = u32::from(one) << 16 | u32::from(two) << 8;
            text.extend_from_slice(&[digit(bits, 0), digit(bits, 1), digit(bits, 2), b'=']);
        }
        _ => {}
    }
    String::from_utf8(text).expect("digits are ASCII")
}

/// Answers the review at hand.
#[doc(hidden)]
pub fn answer<P: Admission>(plugin: &mut P) -> Result<Json> {
    let response = plugin.admit(&Request(()))?;
    Ok(Json::object([
        ("apiVersion", "admission.k8s.io/v1".into()),
        ("kind", "AdmissionReview".into()),
        ("response", response.json(text("uid"))),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_review;

    struct Scripted(fn(&Request) -> Response);

    impl Admission for Scripted {
        fn admit(&mut self, request: &Request) -> Result<Response> {
            Ok((self.0)(request))
        }
    }

    /// What the plugin's response is for a request with this object.
    fn response(object: &str, admit: fn(&Request) -> Response) -> Value {
        let review = format!(r#"{{"request":{{"uid":"u-1","object":{object}}}}}"#);
        let answer = with_review(&review, || answer(&mut Scripted(admit))).unwrap().to_string();
        let answer = Value::parse(&answer).unwrap();
        assert_eq!(answer.at("/kind").text(), "AdmissionReview");
        assert_eq!(answer.at("/response/uid").text(), "u-1");
        answer.at("/response")
    }

    #[test]
    fn denials_tell_code_reason_and_message() {
        let denied = response("{}", |_| Response::deny_with(422, "Invalid", "no \"quotes\"").warn("w").audit("k", "v"));
        for (pointer, want) in [
            ("/allowed", "false"),
            ("/status", r#"{"code":422,"reason":"Invalid","message":"no \"quotes\""}"#),
            ("/warnings", r#"["w"]"#),
            ("/auditAnnotations", r#"{"k":"v"}"#),
            ("/patch", ""),
        ] {
            assert_eq!(denied.at(pointer).text(), want, "{pointer}");
        }
    }

    #[test]
    fn labels_are_patched_once() {
        let label_twice = |r: &Request| Response::allow().set_label(r, "a/b", "1").set_label(r, "c", "2");
        let none = r#"[{"op":"add","path":"/metadata/labels","value":{}},"#;
        let first = r#"{"op":"add","path":"/metadata/labels/a~1b","value":"1"}"#;
        let second = r#"{"op":"add","path":"/metadata/labels/c","value":"2"}]"#;
        for (object, want) in [
            ("{}", format!("{none}{first},{second}")),
            (r#"{"metadata":{"labels":null}}"#, format!("{none}{first},{second}")),
            (r#"{"metadata":{"labels":{"a/b":"2"}}}"#, format!("[{first},{second}")),
            (r#"{"metadata":{"labels":{"a/b":"1"}}}"#, format!("[{second}")),
        ] {
            let got = response(object, label_twice);
            assert_eq!(got.at("/patch").text(), base64(want.as_bytes()), "{object}");
            assert_eq!(got.at("/patchType").text(), "JSONPatch");
        }
        assert!(!response(r#"{"metadata":{"labels":{"a/b":"1","c":"2"}}}"#, label_twice).at("/patch").exists());
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, want) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(base64(text.as_bytes()), want, "{text}");
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }
}
