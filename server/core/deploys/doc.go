// Package deploys keeps the versions of an app's code and files, and decides which of them is live.
//
// Way in: New, Service.Start; Service.Begin for files that are there, Upload, Receive, Take and Build for an
// archive, Service.Rollback, Service.Job. Beside it: operators (who may), archive (what may).
//
// Tables: _deploy_blob, _deploy_part, _deploy_version, _deploy_file, _deploy_release, _deploy_upload,
// _deploy_job, _secret.
//
// Invariants:
//   - The newest release is live, on every server. It is written only after the new workers have started and
//     have told their functions; what fails before leaves the live version as it is.
//   - Functions and files change together: functions first, so that a new page never meets old functions.
//   - Of two jobs the one that was begun later wins. A job holds others up only while functions start.
//   - Contents are kept once, by their SHA-256, in PostgreSQL; folders on disk are copies that can be made again.
//   - A release without a version is the server's own folder, which is live before the first deploy.
package deploys
