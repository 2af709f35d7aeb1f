package lateen

import "strings"

// ReadyState is where a deployment is on its way.
type ReadyState string

// The states. READY, ERROR and CANCELED are final.
const (
	Queued       ReadyState = "QUEUED"
	Initializing ReadyState = "INITIALIZING"
	Building     ReadyState = "BUILDING"
	Deploying    ReadyState = "DEPLOYING"
	Ready        ReadyState = "READY"
	Failed       ReadyState = "ERROR"
	Canceled     ReadyState = "CANCELED"
)

// Final reports whether a deployment in state s stays in it.
func (s ReadyState) Final() bool { return s == Ready || s == Failed || s == Canceled }

// Deployment is one immutable version of a project, with a host of its own. It
// is READY only when its files and its manifest are durable.
type Deployment struct {
	ID          DeploymentID `json:"id"`
	Project     ProjectID    `json:"projectId"`
	Team        TeamID       `json:"ownerId"`
	Name        string       `json:"name"`   // the project's name at the time
	Host        string       `json:"url"`    // host without scheme
	Target      string       `json:"target"` // production, preview or a custom environment
	Source      string       `json:"source,omitempty"`
	Creator     UserID       `json:"creatorId"`
	State       ReadyState   `json:"readyState"`
	ErrorReason string       `json:"errorCode,omitempty"`
	ErrorText   string       `json:"errorMessage,omitempty"`

	CreatedAt  Millis `json:"createdAt"`
	BuildingAt Millis `json:"buildingAt,omitempty"`
	ReadyAt    Millis `json:"ready,omitempty"`
	AliasedAt  Millis `json:"aliasAssigned,omitempty"` // when its aliases were in place

	Meta map[string]string `json:"meta,omitempty"` // --meta and Git facts
	Git  *GitMetadata      `json:"gitMetadata,omitempty"`

	// SkipAliases is true for a production deployment that waits to be
	// promoted (--skip-domain): it is staged.
	SkipAliases bool `json:"-"`
	// ServedAt is when the hosts of production were last pointed at it; 0: never.
	ServedAt Millis `json:"-"`
	// Serial counts the deployments of the project in the order in which they were
	// accepted, from 1, whatever the host's clock said. The store sets it.
	Serial int64 `json:"-"`
	// Manifest is the digest of the compiled form; "" until then.
	Manifest Digest `json:"-"`
	// Files is the digest of the uploaded listing, from which a redeploy starts.
	Files Digest `json:"-"`
	// Env is the frozen run-time environment, sealed.
	Env []byte `json:"-"`
}

// GitMetadata is the commit a deployment was made from, as the client saw it.
type GitMetadata struct {
	RemoteURL         string `json:"remoteUrl,omitempty"`
	CommitAuthorName  string `json:"commitAuthorName,omitempty"`
	CommitAuthorEmail string `json:"commitAuthorEmail,omitempty"`
	CommitMessage     string `json:"commitMessage,omitempty"`
	CommitRef         string `json:"commitRef,omitempty"`
	CommitSHA         string `json:"commitSha,omitempty"`
	Dirty             bool   `json:"dirty,omitempty"`
}

// The bounds of what a client says about a deployment: it is kept with every
// one of them, and listed.
const (
	MaxMetaPairs = 100
	MaxMetaBytes = 64 << 10 // names, values and Git facts together
)

// ValidateMeta reports more said about d than is kept as [ErrMetaTooLarge], and a
// name that cannot be kept as [ErrInvalid].
func (d *Deployment) ValidateMeta() error {
	size := len(d.Source)
	for k, v := range d.Meta {
		if strings.ContainsRune(k, 0) {
			return ErrInvalid.With("the name %q in the metadata has a NUL byte", k)
		}
		size += len(k) + len(v)
	}
	if g := d.Git; g != nil {
		for _, s := range []string{g.RemoteURL, g.CommitAuthorName, g.CommitAuthorEmail, g.CommitMessage, g.CommitRef, g.CommitSHA} {
			size += len(s)
		}
	}
	if len(d.Meta) > MaxMetaPairs || size > MaxMetaBytes {
		return ErrMetaTooLarge
	}
	return nil
}

// UploadFile is one file of an upload as a client lists it: named by its
// SHA-1, or carried inline in Data.
type UploadFile struct {
	Path     string `json:"file"` // slash-separated, relative to the root
	SHA1     SHA1   `json:"sha,omitempty"`
	Size     int64  `json:"size,omitempty"`
	Mode     uint32 `json:"mode,omitempty"` // as in stat: 0o100644, 0o120000 for a symlink
	Data     string `json:"data,omitempty"`
	Encoding string `json:"encoding,omitempty"` // of Data: "base64" or "utf-8" (default)
}

// SourceFile is one file of an upload whose content is kept as an artefact, as
// the build reads it.
type SourceFile struct {
	Path string `json:"path"`           // slash-separated, relative, clean
	Blob Blob   `json:"blob"`           // zero for a link
	Mode uint32 `json:"mode,omitempty"` // permission bits; 0 is 0o644
	Link string `json:"link,omitempty"` // target of a symbolic link, as written
}

// Source is an upload as the build reads it.
type Source struct {
	Files []SourceFile `json:"files"`
	// Root is the project's root directory, where .vercel/output is expected;
	// "" is the top of the upload.
	Root string `json:"root,omitempty"`
	// Target is the environment that the output must have been built for; ""
	// takes any, as a promoted or redeployed upload needs.
	Target string `json:"target,omitempty"`
	// Config are the names of the fields in the project's vercel.json, as far as the
	// client told them: the build log says which have no effect.
	Config []string `json:"config,omitempty"`

	// Tenants are for whom it is assembled, each a part of the one before it: the
	// team, then the project. They share the processors. Empty is one tenant for all.
	Tenants []string `json:"-"`
	// Kept is told of each content that the assembly keeps of an archive; an error
	// ends the assembly. It may be called concurrently; nil is told nothing.
	Kept func(Blob) error `json:"-"`
}

// DeploymentEvent is a line of a deployment's build log or a change of state.
type DeploymentEvent struct {
	Deployment DeploymentID      `json:"deploymentId"`
	Serial     int64             `json:"serial"` // increases within the deployment
	Type       string            `json:"type"`   // stdout, stderr, command, deployment-state, …
	CreatedAt  Millis            `json:"created"`
	Text       string            `json:"text"`
	Level      string            `json:"level,omitempty"` // error, warning
	Info       map[string]string `json:"info,omitempty"`
}

// Alias points a host at a deployment.
type Alias struct {
	ID         AliasID      `json:"uid"`
	Host       string       `json:"alias"`
	Project    ProjectID    `json:"projectId"`
	Team       TeamID       `json:"-"`
	Deployment DeploymentID `json:"deploymentId"`
	// Automatic is true for a host the platform made and moves by itself.
	Automatic bool   `json:"-"`
	Creator   UserID `json:"-"`
	CreatedAt Millis `json:"createdAt"`
	UpdatedAt Millis `json:"updatedAt"`
}

// Errors of deployments and aliases. The reasons of missing_files and the
// like are those the vercel CLI acts on.
var (
	ErrDeploymentNotFound  = &Error{Code: NotFound, Reason: "deployment_not_found", Message: "there is no such deployment", Hint: "list them with `lateen ls`"}
	ErrDeploymentTaken     = &Error{Code: Conflict, Reason: "deployment_taken", Message: "the host belongs to another deployment"}
	ErrDeploymentNotReady  = &Error{Code: Conflict, Reason: "deployment_not_ready", Message: "the deployment is not ready"}
	ErrDeploymentFinal     = &Error{Code: Conflict, Reason: "deployment_final", Message: "the deployment has come to its end"}
	ErrDeploymentAliased   = &Error{Code: Conflict, Reason: "deployment_aliased", Message: "hosts lead to the deployment"}
	ErrAssembleTimeout     = &Error{Code: Timeout, Reason: "assemble_timeout", Message: "the deployment took too long to assemble", Hint: "deploy again"}
	ErrAssembleInterrupted = &Error{Code: Unavailable, Reason: "assemble_interrupted", Message: "the platform stopped while it assembled the deployment", Hint: "deploy again"}
	ErrRollbackTarget      = &Error{Code: Invalid, Reason: "rollback_target", Message: "only a deployment that has served production can be rolled back to", Hint: "promote it instead"}
	ErrMissingFiles        = &Error{Code: Invalid, Reason: "missing_files", Message: "some files were not uploaded yet"}
	ErrSourceBuild         = &Error{Code: Invalid, Reason: "source_build_unsupported", Message: "building from source is not there yet", Hint: "run `vercel build` and deploy with `--prebuilt`"}
	ErrUploadDigest        = &Error{Code: Invalid, Reason: "upload_digest_mismatch", Message: "the body does not have the digest it was announced with", Hint: "upload the file again"}
	ErrUploadTruncated     = &Error{Code: Invalid, Reason: "upload_truncated", Message: "the body ended too early", Hint: "upload the file again"}
	ErrUploadPath          = &Error{Code: Invalid, Reason: "invalid_path", Message: "a file's path leaves the upload"}
	ErrUploadArchive       = &Error{Code: Invalid, Reason: "invalid_archive", Message: "the archive of the upload can't be unpacked", Hint: "deploy again, or without --archive=tgz"}
	ErrMetaTooLarge        = &Error{Code: Invalid, Reason: "meta_too_large", Message: "the metadata of a deployment is 100 pairs and 64 KiB at most, Git facts included"}
	ErrTooManyFiles        = &Error{Code: Invalid, Reason: "too_many_files", Message: "the deployment has too many files"}
	ErrAliasNotFound       = &Error{Code: NotFound, Reason: "alias_not_found", Message: "there is no such alias", Hint: "list them with `lateen alias ls`"}
	ErrAliasInvalid        = &Error{Code: Invalid, Reason: "invalid_alias", Message: "the alias is not a host name"}
	ErrAliasTaken          = &Error{Code: Forbidden, Reason: "alias_in_use", Message: "the alias belongs to another project"}
	ErrAliasReserved       = &Error{Code: Forbidden, Reason: "forbidden_alias", Message: "the host belongs to the platform"}
)
