# What the host's functions of Rego answer, one message each: the test compares them with what OPA's interpreter says.
package builtins

fails := regex.replace("aaa", "(", "b")

# METADATA
# entrypoint: true
deny contains sprintf("%s: %v", [name, result]) if {
	some name, result in {
		"sprintf": sprintf("%d|%5.2f|%05d|%s|%q|%v|%x|%%|%t|%v", [42, 3.14159, 7, "text", "quoted", {"b", "a"}, 255, true, null]),
		"sprintf structures": sprintf("%v %v %v", [[1, "a"], {"k": {"n": 1.5}}, set()]),
		"sprintf too few": sprintf("%s %s", ["one"]),
		"sprintf too many": sprintf("%s", ["one", 2]),
		"sprintf large": sprintf("%d", [12345678901234567890]),
		"split": regex.split(`\s*,\s*`, "a , b,c"),
		"replace": regex.replace("foo-bar", `(\w+)-(\w+)`, "$2-$1"),
		"find": regex.find_n(`[a-z]+`, "ab 1 cd ef", 2),
		"quote": glob.quote_meta("*.example.com"),
		"prefix": strings.any_prefix_match(["docker.io/x"], {"quay.io/", "docker.io/"}),
		"suffix": strings.any_suffix_match("image:latest", [":latest"]),
		"count": strings.count("banana", "an"),
		"indexes": indexof_n("bänana", "a"),
		"hex": [hex.encode("hi"), hex.decode("6869")],
		"urlquery": [urlquery.encode("a b&c"), urlquery.decode("a+b%26c")],
		"base64url": base64url.encode_no_pad("hi??>"),
		"yaml": [yaml.unmarshal("a: [1, 2]\nb: x"), yaml.is_valid("a: ["), yaml.marshal({"a": [1, "x"]})],
		"digests": [crypto.sha256("x"), crypto.sha1("x"), crypto.md5("x")],
		"semver": [semver.compare("1.10.0", "1.9.3"), semver.compare("1.0.0-rc.1", "1.0.0"), semver.is_valid("1.0"), semver.is_valid("1.2.3+b")],
		"times": [time.parse_rfc3339_ns("2024-02-29T12:30:15Z"), time.parse_duration_ns("1h5m"), time.date(1709209815000000000)],
		"more times": [time.clock(1709209815000000000), time.weekday([1709209815000000000, "UTC"]), time.add_date(1709209815000000000, 1, 0, 1)],
		"units": [units.parse("10Ki"), units.parse("500m"), units.parse("2M"), units.parse_bytes("1.5GiB"), units.parse_bytes("10kb")],
		"undefined": object.get({"x": 1}, "y", "absent"),
	}
}

deny contains "an error is undefined" if not fails

deny contains "time stands still" if time.now_ns() == time.now_ns()
