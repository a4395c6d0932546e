/** True in the bundle of `pixelproof export`, whose data lie in files beside the page. */
declare const __STATIC__: boolean;
