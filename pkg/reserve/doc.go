// Package reserve holds reservations: changes that were allowed and that a snapshot may not
// show yet. The replicas share them in one object, the record.
//
// A change is decided on a snapshot, which follows the API server by watches. Without
// reservations, two changes that are decided at the same moment do not see each other, and
// each of them may be safe only without the other.
//
// A replica reserves an allowed change in its memory and in the record before it answers. It
// writes the record with the version that it has read as precondition. So when a write
// succeeds, the replica has decided the change with all reservations of all replicas. On a
// conflict it reads the record and decides the change again.
//
// A replica decides one change at a time, and writes the record at the same time: what it decides
// during a write is in the next one, all of it. Each change is decided with those before it, whether
// they are written or not. If the replica learns of a record of another replica, all its changes
// that are not written yet are decided again.
//
// A reservation is open at a replica until the watch of that replica shows the outcome:
//
//   - The API server reviews a change together with the object that the change replaces, and
//     etcd persists it only if the object still has that version. Each further attempt is
//     reviewed again. So as soon as the watch shows a newer version, or that the object is
//     deleted, the change is persisted or never will be.
//   - A create is persisted only if there is no such object. It is settled when the watch
//     shows an object that is newer than the reservation.
//   - Without such an event, for example because another webhook denies the change, the
//     reservation expires after Lifetime, if the API server then has the object in the version
//     that the watch has shown. Otherwise the watch is late, and the reservation stays open.
//
// Two changes of one object can be reserved at once. At most one of them is persisted on a
// version, but it can be either, so both stay open. A change is decided without the
// reservations of its own object: if one of them is persisted, the change is not.
// The same change of the same version again is the same reservation; its time starts again.
//
// Changes wait for the outcome of the changes in flight, so that few combinations of them are left.
// They do not wait for nodes that join, which can be many at once: a scale-out, or Nodes from a backup.
// A node that joins adds sessions and routes and removes none, so it is enough to decide a change
// with all of them and with none; see validate.GroupsOf.
//
// The watch of one replica may lag behind that of another. So a replica removes a settled
// reservation from the record only after keepSettled. In its place it leaves a mark with the
// version of the event that settled it. A replica whose watch has not reached a mark does not
// decide changes. Marks stay for as long as a watch can be late; see ExpectLateWatches.
//
// A list does not contain what was deleted, so no event shows how reservations of these
// objects ended. The informer knows the version of its list, and of each bookmark. When a
// replica has received all objects that the informer holds, its watch has reached that version.
//
// Versions are resourceVersions. Those of one kind are comparable (KEP-5504), and so are those
// of different kinds unless the API server stores them in different etcd clusters.
package reserve
