package assemble_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// application is an upload with the proportions of a small Next.js application: 25
// scripts and pages of 800 kB in total, four functions that share 200 files from
// node_modules, 50 paths to them, 30 cached pages.
func application() map[string]string {
	files := map[string]string{".vercel/output/config.json": `{"version":3,"routes":[{"handle":"filesystem"}]}`}
	for i := range 25 {
		var text strings.Builder
		for text.Len() < 32_000 {
			fmt.Fprintf(&text, "export function f%d(a,b){return a[%d]+b.c%d(%q)}\n", text.Len()*7919%9973, text.Len()%613, text.Len()%97, fmt.Sprint("text ", i*text.Len()))
		}
		files[fmt.Sprintf(".vercel/output/static/_next/static/chunks/%d.js", i)] = text.String()
	}
	var mapped []string
	for i := range 200 {
		name := fmt.Sprintf("node_modules/p%d/dist/file%d.js", i%20, i)
		files[name] = strings.Repeat(fmt.Sprintf("module.exports.f%d = () => %d;\n", i, i), 100+i)
		mapped = append(mapped, fmt.Sprintf("%q:%q", name, name))
	}
	for i := range 4 {
		dir := fmt.Sprintf(".vercel/output/functions/f%d.func/", i)
		files[dir+".vc-config.json"] = fmt.Sprintf(`{"runtime":"nodejs24.x","handler":"l.js","launcherType":"Nodejs","filePathMap":{%s}}`, strings.Join(mapped, ","))
		files[dir+"l.js"] = fmt.Sprint("module.exports = ", i)
	}
	for i := range 50 {
		files[fmt.Sprintf(".vercel/output/functions/page%d.func -> f%d.func", i, i%4)] = ""
	}
	for i := range 30 {
		files[fmt.Sprintf(".vercel/output/functions/page%d.prerender-config.json", i)] = fmt.Sprintf(`{"expiration":60,"group":%d,"fallback":"page%d.prerender-fallback.html"}`, i+1, i)
		files[fmt.Sprintf(".vercel/output/functions/page%d.prerender-fallback.html", i)] = fmt.Sprint("<h1>", i)
	}
	return files
}

func BenchmarkAssembleFirst(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		p := newPlatform(b)
		src := p.upload(application())
		b.StartTimer()
		p.mustAssemble(src)
	}
}

func BenchmarkAssembleUnchanged(b *testing.B) {
	p := newPlatform(b)
	src := p.upload(application())
	p.mustAssemble(src)
	for b.Loop() {
		p.mustAssemble(src)
	}
}

func BenchmarkAssembleArchive(b *testing.B) {
	files := application()
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if link, target, ok := strings.Cut(name, " -> "); ok {
			entries = append(entries, entry{name: link, link: target})
		} else {
			entries = append(entries, entry{name: name, content: files[name]})
		}
	}
	archive := pack(b, entries...)
	for b.Loop() {
		b.StopTimer()
		p := newPlatform(b)
		src := p.parts(archive, 2)
		b.StartTimer()
		p.mustAssemble(src)
	}
}
