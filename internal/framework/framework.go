package framework

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// Framework is the web framework of an application; the zero value is an unknown one.
type Framework struct {
	Slug string // slug of its preset in `vercel build`
	Name string // display name
}

// FrameworkOf detects the framework of the application in dir by the packages on which
// it depends. Frameworks that are built on others come first.
func FrameworkOf(dir string) Framework {
	b, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return Framework{}
	}
	var p struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if json.Unmarshal(b, &p) != nil {
		return Framework{}
	}
	for _, known := range []struct{ dependency, slug, name string }{
		{"next", "nextjs", "Next.js"},
		{"@sveltejs/kit", "sveltekit-1", "SvelteKit"},
		{"nuxt", "nuxtjs", "Nuxt"},
		{"astro", "astro", "Astro"},
		{"@react-router/dev", "react-router", "React Router"},
		{"@remix-run/dev", "remix", "Remix"},
		{"@tanstack/react-start", "tanstack-start", "TanStack Start"},
		{"@tanstack/solid-start", "tanstack-start", "TanStack Start"},
		{"@solidjs/start", "solidstart-1", "SolidStart"},
		{"gatsby", "gatsby", "Gatsby"},
		{"@docusaurus/core", "docusaurus-2", "Docusaurus"},
		{"@11ty/eleventy", "eleventy", "Eleventy"},
		{"@angular/cli", "angular", "Angular"},
		{"react-scripts", "create-react-app", "Create React App"},
		{"vitepress", "vitepress", "VitePress"},
		{"nitropack", "nitro", "Nitro"},
		{"nitro", "nitro", "Nitro"},
		{"vite", "vite", "Vite"},
		{"@nestjs/core", "nestjs", "NestJS"},
		{"hono", "hono", "Hono"},
		{"express", "express", "Express"},
		{"fastify", "fastify", "Fastify"},
	} {
		_, runs := p.Dependencies[known.dependency]
		_, builds := p.DevDependencies[known.dependency]
		if runs || builds {
			return Framework{known.slug, known.name}
		}
	}
	return Framework{}
}
