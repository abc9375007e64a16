package libvirtxml

// ownerNamespace is that of the metadata by which platter knows its own domains.
const ownerNamespace = "urn:platter:run"

// ParseOwner returns the run directory that a domain XML carries in its metadata (Domain.RunDir). ok is false for a domain that platter
// did not create. The error, an *Error, is for what is no domain XML.
func ParseOwner(domainXML string) (dir string, ok bool, err error) {
	root, _, err := Parse("the domain", []byte(domainXML))
	if err != nil {
		return "", false, err
	}
	if metadata := root.Child("metadata"); metadata != nil {
		for _, e := range metadata.Children {
			if e.Name == "run" && e.Space == ownerNamespace {
				dir = e.Attr("dir")
				return dir, dir != "", nil
			}
		}
	}
	return "", false, nil
}
