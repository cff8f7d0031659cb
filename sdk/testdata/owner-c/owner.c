/* A Pod must have the label owner: what the benchmark has every SDK do. */
#include "gatehouse.h"

static void require_owner(gh_admission *a)
{
	if (gh_is(gh_admission_kind(), "Pod") && !gh_exists(gh_object("/metadata/labels/owner")))
		gh_admission_deny(a, "no owner");
	else
		gh_admission_allow(a);
}
GH_ADMISSION(require_owner)
