package lateen

import "strings"

// ReadyState is the state of a deployment.
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
	Host        string       `json:"url"`    // host name, without a scheme
	Target      Environment  `json:"target"` // production, preview or a custom environment
	Source      string       `json:"source,omitempty"`
	Creator     UserID       `json:"creatorId"`
	State       ReadyState   `json:"readyState"`
	ErrorReason string       `json:"errorCode,omitempty"`
	ErrorText   string       `json:"errorMessage,omitempty"`

	CreatedAt  Millis `json:"createdAt"`
	BuildingAt Millis `json:"buildingAt,omitempty"`
	ReadyAt    Millis `json:"ready,omitempty"`
	AliasedAt  Millis `json:"aliasAssigned,omitempty"` // time at which its aliases were assigned

	Meta map[string]string `json:"meta,omitempty"` // pairs of --meta and Git metadata
	Git  *GitMetadata      `json:"gitMetadata,omitempty"`

	// SkipAliases is true for a production deployment that is staged: it waits for a
	// promotion (--skip-domain).
	SkipAliases bool `json:"-"`
	// ServedAt is the last time at which the production hosts were pointed at the
	// deployment; 0 is never.
	ServedAt Millis `json:"-"`
	// Serial counts the deployments of the project in the order in which they were
	// accepted, from 1, independently of the host's clock. The store sets it.
	Serial int64 `json:"-"`
	// Manifest is the digest of the manifest; "" until assembly has finished.
	Manifest Digest `json:"-"`
	// Files is the digest of the list of uploaded files, from which a redeploy
	// starts.
	Files Digest `json:"-"`
	// Env is the run-time environment at the time of the deployment, encrypted.
	Env []byte `json:"-"`
}

// GitMetadata is the commit of a deployment, as the client reports it.
type GitMetadata struct {
	RemoteURL         string `json:"remoteUrl,omitempty"`
	CommitAuthorName  string `json:"commitAuthorName,omitempty"`
	CommitAuthorEmail string `json:"commitAuthorEmail,omitempty"`
	CommitMessage     string `json:"commitMessage,omitempty"`
	CommitRef         string `json:"commitRef,omitempty"`
	CommitSHA         string `json:"commitSha,omitempty"`
	Dirty             bool   `json:"dirty,omitempty"`
}

// The bounds of a deployment's metadata. The store holds the metadata of every
// deployment, and lists return it.
const (
	MaxMetaPairs = 100
	MaxMetaBytes = 64 << 10 // bytes of names, values and Git metadata together
)

// ValidateMeta reports metadata of d past the bounds as [ErrMetaTooLarge], and a
// name that the store cannot hold as [ErrInvalid].
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
	Encoding string `json:"encoding,omitempty"` // encoding of Data: "base64" or "utf-8" (default)
}

// SourceFile is one file of an upload, as the assembly reads it. Its content is an
// artifact.
type SourceFile struct {
	Path string `json:"path"`           // slash-separated, relative, clean
	Blob Blob   `json:"blob"`           // zero for a link
	Mode uint32 `json:"mode,omitempty"` // permission bits; 0 is 0o644
	Link string `json:"link,omitempty"` // target of a symbolic link, as written in the upload
}

// Source is an upload, as the assembly reads it.
type Source struct {
	Files []SourceFile `json:"files"`
	// Root is the project's root directory, where .vercel/output is expected;
	// "" is the top of the upload.
	Root string `json:"root,omitempty"`
	// Target is the environment that the output must have been built for; "" accepts
	// any, as promotions and redeployments need.
	Target Environment `json:"target,omitempty"`
	// Config are the names of the fields in the project's vercel.json, as far as the
	// client sent them. The build log names those without an effect.
	Config []string `json:"config,omitempty"`

	// Tenants are the tenants of the assembly, each a part of the one before it: the
	// team, then the project. They share the processors. Sources without tenants
	// count as one tenant.
	Tenants []string `json:"-"`
	// OnStore is called after the assembly stored a file of an archive; an error
	// ends the assembly. Calls may be concurrent. nil is allowed.
	OnStore func(Blob) error `json:"-"`
}

// BuildLogLine is a line of a deployment's build log or a change of state.
type BuildLogLine struct {
	Deployment DeploymentID      `json:"deploymentId"`
	Serial     int64             `json:"serial"` // number that increases within the deployment
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
	// Redirect is the host to which requests are redirected; "" serves the deployment.
	Redirect string `json:"redirect,omitempty"`
	// Automatic is true for a host that the platform created and points to new
	// deployments itself.
	Automatic bool   `json:"-"`
	Creator   UserID `json:"-"`
	CreatedAt Millis `json:"createdAt"`
	UpdatedAt Millis `json:"updatedAt"`
}

// Errors of deployments and aliases. The vercel CLI acts on some of the reasons,
// such as missing_files.
var (
	ErrDeploymentNotFound  = &Error{Code: NotFound, Reason: "deployment_not_found", Message: "deployment not found", Hint: "list them with `lateen ls`"}
	ErrDeploymentTaken     = &Error{Code: Conflict, Reason: "deployment_taken", Message: "the host belongs to another deployment"}
	ErrDeploymentNotReady  = &Error{Code: Conflict, Reason: "deployment_not_ready", Message: "the deployment is not ready"}
	ErrDeploymentFinal     = &Error{Code: Conflict, Reason: "deployment_final", Message: "the deployment has already finished"}
	ErrDeploymentAliased   = &Error{Code: Conflict, Reason: "deployment_aliased", Message: "the deployment still has aliases"}
	ErrAssembleTimeout     = &Error{Code: Timeout, Reason: "assemble_timeout", Message: "the deployment took too long to assemble", Hint: "deploy again"}
	ErrAssembleInterrupted = &Error{Code: Unavailable, Reason: "assemble_interrupted", Message: "the platform stopped while it assembled the deployment", Hint: "deploy again"}
	ErrRollbackTarget      = &Error{Code: Invalid, Reason: "rollback_target", Message: "only a deployment that has served production can be rolled back to", Hint: "promote it instead"}
	ErrMissingFiles        = &Error{Code: Invalid, Reason: "missing_files", Message: "some files were not uploaded yet"}
	ErrSourceBuild         = &Error{Code: Invalid, Reason: "source_build_unsupported", Message: "builds from source are not supported yet", Hint: "run `vercel build` and deploy with `--prebuilt`"}
	ErrUploadDigest        = &Error{Code: Invalid, Reason: "upload_digest_mismatch", Message: "the digest of the body does not match", Hint: "upload the file again"}
	ErrUploadTruncated     = &Error{Code: Invalid, Reason: "upload_truncated", Message: "the body ended too early", Hint: "upload the file again"}
	ErrUploadPath          = &Error{Code: Invalid, Reason: "invalid_path", Message: "a file's path leads out of the upload"}
	ErrUploadArchive       = &Error{Code: Invalid, Reason: "invalid_archive", Message: "the archive of the upload can't be unpacked", Hint: "deploy again, or without --archive=tgz"}
	ErrMetaTooLarge        = &Error{Code: Invalid, Reason: "meta_too_large", Message: "the metadata of the deployment exceeds 100 pairs or 64 KiB, Git metadata included"}
	ErrTooManyFiles        = &Error{Code: Invalid, Reason: "too_many_files", Message: "the deployment has too many files"}
	ErrAliasNotFound       = &Error{Code: NotFound, Reason: "alias_not_found", Message: "alias not found", Hint: "list them with `lateen alias ls`"}
	ErrAliasInvalid        = &Error{Code: Invalid, Reason: "invalid_alias", Message: "the alias is not a host name"}
	ErrAliasTaken          = &Error{Code: Forbidden, Reason: "alias_in_use", Message: "the alias belongs to another project"}
	ErrAliasReserved       = &Error{Code: Forbidden, Reason: "forbidden_alias", Message: "the host belongs to the platform"}
)
