package control

// DropsPerLock is the number of artifacts that a sweep drops during one lock.
const DropsPerLock = dropsPerLock
