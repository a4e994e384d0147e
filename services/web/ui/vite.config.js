import { defineConfig } from "vite";

// The server reads manifest.json to find the hashed names; `services/web/src/routes/assets.rs`.
export default defineConfig({
  build: {
    manifest: "manifest.json",
    rollupOptions: { input: "src/main.ts" },
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    target: "es2022",
    reportCompressedSize: true,
  },
});
