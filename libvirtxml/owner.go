package libvirtxml

import (
	"errors"
	"fmt"

	"github.com/beevik/etree"
)

// ownerNamespace is that of the metadata by which platter knows its own domains.
const ownerNamespace = "urn:platter:run"

// ParseOwner returns the run directory that a domain XML carries in its metadata (Domain.RunDir). ok is false for a
// domain that platter did not create; the error is for what is not a domain XML at all.
func ParseOwner(domainXML string) (dir string, ok bool, err error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(domainXML); err != nil {
		return "", false, fmt.Errorf("read domain XML: %w", err)
	}
	root := doc.Root()
	if root == nil || root.FullTag() != "domain" {
		return "", false, errors.New("read domain XML: the root element is not <domain>")
	}
	metadata := root.SelectElement("metadata")
	if metadata == nil {
		return "", false, nil
	}
	for _, e := range metadata.ChildElements() {
		if e.Tag == "run" && e.NamespaceURI() == ownerNamespace {
			dir = e.SelectAttrValue("dir", "")
			return dir, dir != "", nil
		}
	}
	return "", false, nil
}
