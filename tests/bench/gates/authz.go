package main

// rbacAllowed is a request that a role allows.
const rbacAllowed = "authz/rbac, allowed"

func authzMembers() []member { return nil }
