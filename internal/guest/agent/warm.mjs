// Importing this initialises the loader of ECMAScript modules.
export default true;
