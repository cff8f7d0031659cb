//! A Pod must have the label owner, and one that has is marked: the job that the benchmark compares with a webhook.

use gatehouse::admission::{Admission, Request, Response};
use gatehouse::{Plugin, Result, Value};

struct Mark;

impl Plugin for Mark {
    fn configure(_settings: Value) -> Result<Self> {
        Ok(Mark)
    }
}

impl Admission for Mark {
    fn admit(&mut self, request: &Request) -> Result<Response> {
        if request.kind() != "Pod" {
            return Ok(Response::allow());
        }
        if !request.object("/metadata/labels/owner").exists() {
            return Ok(Response::deny("set the label owner"));
        }
        Ok(Response::allow().set_label(request, "gatehouse.dev/admitted-by", "owner-label"))
    }
}

gatehouse::export!(Mark: Admission);
