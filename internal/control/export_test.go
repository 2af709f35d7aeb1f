package control

// DropsPerLock is how many artefacts a sweep drops while no deployment is accepted.
const DropsPerLock = dropsPerLock
