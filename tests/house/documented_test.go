package house

import (
	"go/ast"
	"regexp"
)

// undocumentedIn names the exported top-level identifiers of a file that have no comment. Methods may go without, where their
// interface says what they do; so may names in a group that the comment on one of their neighbours mentions.
func undocumentedIn(file *ast.File) []string {
	var names []string
	for _, declaration := range file.Decls {
		switch declared := declaration.(type) {
		case *ast.FuncDecl:
			if declared.Recv == nil && declared.Name.IsExported() && declared.Doc == nil {
				names = append(names, declared.Name.Name)
			}
		case *ast.GenDecl:
			names = append(names, undocumentedSpecs(declared)...)
		}
	}
	return names
}

func undocumentedSpecs(declared *ast.GenDecl) []string {
	var names []string
	for _, spec := range declared.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && declared.Doc == nil {
				names = append(names, spec.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && spec.Doc == nil && spec.Comment == nil && declared.Doc == nil && !mentioned(name.Name, declared) {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

func mentioned(name string, group *ast.GenDecl) bool {
	word := regexp.MustCompile(`\b` + name + `\b`)
	for _, spec := range group.Specs {
		if value, ok := spec.(*ast.ValueSpec); ok && value.Doc != nil && word.MatchString(value.Doc.Text()) {
			return true
		}
	}
	return false
}
