package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// web is the dashboard: one page and its files.
//
//go:embed web
var web embed.FS

//go:embed openapi.json
var openAPI []byte

// asset is a file as it is served.
type asset struct {
	contentType string // Content-Type
	etag        string // ETag
	text        []byte
}

var contentTypes = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json"}

// assets are the files by path.
var assets = loadAssets()

func loadAssets() map[string]asset {
	all := make(map[string]asset)
	add := func(at, name string, text []byte) {
		sum := sha256.Sum256(text)
		all[at] = asset{contentTypes[path.Ext(name)], `"` + hex.EncodeToString(sum[:8]) + `"`, text}
	}
	err := fs.WalkDir(web, "web", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := web.ReadFile(name)
		add(strings.TrimPrefix(name, "web"), name, text)
		return err
	})
	if err != nil {
		panic("console: " + err.Error()) // unreachable: the files are embedded
	}
	all["/"], all["/favicon.ico"] = all["/index.html"], all["/assets/icon.svg"]
	add("/api/v1/openapi.json", "openapi.json", openAPI)
	return all
}

func (s *Server) handleAsset(w http.ResponseWriter, r *http.Request) {
	f, ok := assets[r.URL.Path]
	if !ok {
		sendProblem(w, http.StatusNotFound, "no such file")
		return
	}
	w.Header().Set("Cache-Control", "no-cache") // revalidate by the ETag
	w.Header().Set("ETag", f.etag)
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", f.contentType)
	_, _ = w.Write(f.text)
}
