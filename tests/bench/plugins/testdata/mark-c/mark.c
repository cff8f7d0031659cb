/* A Pod must have the label owner, and one that has is marked: the job that the benchmark compares with a webhook. */
#include "gatehouse.h"

static void mark_owned(gh_admission *a)
{
	if (!gh_is(gh_admission_kind(), "Pod")) {
		gh_admission_allow(a);
		return;
	}
	if (!gh_exists(gh_object("/metadata/labels/owner"))) {
		gh_admission_deny(a, "set the label owner");
		return;
	}
	gh_admission_allow(a);
	gh_admission_set_label(a, "gatehouse.dev/admitted-by", gh_text_of("owner-label"));
}
GH_ADMISSION(mark_owned)
