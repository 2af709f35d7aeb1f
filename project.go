package lateen

import (
	"regexp"
	"strings"
)

// Project is one site or application. Its name is the label of its production host.
type Project struct {
	ProjectSettings

	ID        ProjectID `json:"id"`
	Team      TeamID    `json:"accountId"`
	Name      string    `json:"name"` // name as [Project.Validate] accepts it; unique on the platform
	CreatedAt Millis    `json:"createdAt"`
	UpdatedAt Millis    `json:"updatedAt"`

	// Production is the deployment that the production hosts serve; "" before the first.
	Production DeploymentID `json:"productionDeploymentId,omitempty"`
	// PinnedByRollback is true from a rollback until the next promotion. While it is
	// true, a new production deployment does not get the production hosts.
	PinnedByRollback bool `json:"pinnedByRollback,omitempty"`
	// LastAliasRequest is the latest promote or rollback; nil before the first.
	LastAliasRequest *AliasRequest `json:"lastAliasRequest,omitempty"`
}

// ProjectSettings are the settings by which a project is built and served. The
// framework decides on a nil field.
type ProjectSettings struct {
	Framework                       *string `json:"framework"`
	BuildCommand                    *string `json:"buildCommand"`
	DevCommand                      *string `json:"devCommand"`
	InstallCommand                  *string `json:"installCommand"`
	OutputDirectory                 *string `json:"outputDirectory"`
	RootDirectory                   *string `json:"rootDirectory"`
	NodeVersion                     string  `json:"nodeVersion,omitempty"` // "22.x"; "" is the newest supported
	CommandForIgnoringBuildStep     *string `json:"commandForIgnoringBuildStep,omitempty"`
	DirectoryListing                bool    `json:"directoryListing"`
	SourceFilesOutsideRootDirectory bool    `json:"sourceFilesOutsideRootDirectory"`

	// StartHeader selects the responses that have the header x-lateen-start, the
	// start kind of their function; "" is [StartHeaderPreview].
	StartHeader string `json:"startHeader,omitempty"`

	// Weight is the share of instances and processors that the project gets under
	// contention, relative to other projects: 1 to [MaxWeight]; 0 is 1.
	Weight int `json:"weight,omitempty"`
}

// MaxWeight is the greatest [ProjectSettings].Weight. The bound keeps every project
// from starvation.
const MaxWeight = 100

const maxSetting = 4096 // bytes of a text setting

// The values of [ProjectSettings].StartHeader.
const (
	StartHeaderAlways  = "always"  // responses of every deployment
	StartHeaderPreview = "preview" // responses of deployments that are not for production
	StartHeaderNever   = "never"
)

// ShowsStart reports whether responses of deployments to target have the header
// x-lateen-start.
func (s *ProjectSettings) ShowsStart(target Environment) bool {
	switch s.StartHeader {
	case StartHeaderAlways:
		return true
	case StartHeaderNever:
		return false
	default:
		return target != Production
	}
}

// AliasRequest is the state of a promote or rollback, as the vercel CLI polls it.
type AliasRequest struct {
	Type        string       `json:"type"` // promote, rollback
	From        DeploymentID `json:"fromDeploymentId,omitempty"`
	To          DeploymentID `json:"toDeploymentId"`
	JobStatus   string       `json:"jobStatus"` // pending, in-progress, succeeded, failed
	RequestedAt Millis       `json:"requestedAt"`
}

// Errors of projects.
var (
	ErrProjectNotFound = &Error{Code: NotFound, Reason: "project_not_found", Message: "project not found", Hint: "list your projects with `lateen project ls`, or create one with `lateen link`"}
	ErrProjectInvalid  = &Error{Code: Invalid, Reason: "project_name_invalid", Message: "a project's name is 1 to 100 characters of a-z, 0-9, '.', '_' and '-', without '---'"}
	ErrProjectSetting  = &Error{Code: Invalid, Reason: "project_setting_invalid", Message: "a setting of the project has an unsupported value"}
	ErrProjectTaken    = &Error{Code: Conflict, Reason: "project_taken", Message: "a project of that name exists in the team", Hint: "choose another name; `lateen project ls` lists the team's projects"}
)

var projectPattern = regexp.MustCompile(`^[a-z0-9._-]{1,100}$`)

// Validate reports a malformed name as [ErrProjectInvalid], a setting with an
// unsupported value as [ErrProjectSetting].
func (p *Project) Validate() error {
	if !projectPattern.MatchString(p.Name) || strings.Contains(p.Name, "---") || Label(p.Name) == "" {
		return ErrProjectInvalid.With("%q is not a project name: 1 to 100 characters of a-z, 0-9, '.', '_' and '-', without '---'", p.Name)
	}
	switch p.StartHeader {
	case "", StartHeaderAlways, StartHeaderPreview, StartHeaderNever:
	default:
		return ErrProjectSetting.With("startHeader is %q: always, preview or never", p.StartHeader)
	}
	for _, text := range []*string{
		p.Framework, p.BuildCommand, p.DevCommand, p.InstallCommand, p.OutputDirectory, p.RootDirectory, p.CommandForIgnoringBuildStep, &p.NodeVersion,
	} {
		if text != nil && len(*text) > maxSetting {
			return ErrProjectSetting.With("a setting has %d bytes, of at most %d", len(*text), maxSetting)
		}
	}
	if p.Weight < 0 || p.Weight > MaxWeight {
		return ErrProjectSetting.With("weight is %d: 1 to %d", p.Weight, MaxWeight)
	}
	return nil
}

// Label turns text into a DNS label of at most 63 characters: it lowers the case,
// replaces each run of other characters than letters and digits by one '-', and
// trims '-' at both ends.
func Label(text string) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(text)) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteByte(c)
		case b.Len() > 0 && b.String()[b.Len()-1] != '-':
			b.WriteByte('-')
		}
	}
	label := b.String()
	return strings.Trim(label[:min(len(label), 63)], "-")
}
